"""The policy as a backend: one real rollout actor with the real journal; several actors are scripted."""

import numpy as np
import pytest

from cluster.errors import Away
from rl.config.stages import SamplingConfig
from rl.driver.policy_backend import PolicyBackend
from rl.errors import UserError
from rl.evaluation.asking import answer
from rl.evaluation.own import BENCHMARK
from rl.evaluation.run_command import read_tasks
from rl.inference.backend import Ask, Backend
from rl.inference.backends.conversation import Chat
from rl.inference.journal import Journal
from rl.inference.json_lines import read_lines
from rl.inference.model_options import Sampling
from rl.samples import Completion
from rl.seeds import stable_seed
from tests.rl.scripted import asks, collect


@pytest.fixture(scope="module")
def chat(models):
    return Chat(str(models["tied"]))


def policy(actors, chat, timeout_s=300.0, sampling=None, **given) -> Backend:
    return PolicyBackend(actors, chat.tokenizer, sampling or SamplingConfig(), "look", 128, timeout_s, **given)


def test_answers_are_what_the_actor_samples(actor, chat):
    """The whole share of an actor is drawn from one seed, and what an ask leaves open is the stage's."""
    calls = []
    stage = SamplingConfig(top_k=5, min_tokens=3)
    given = asks(6, temperature=1.0, max_tokens=12, samples=2, seed=9)
    backend = policy(
        [actor], chat, sampling=stage, before=lambda: calls.append(1), after=lambda: calls.append(2), tokens=True
    )
    found = collect(backend, given)
    assert calls == [1, 2] and list(found) != [], "weights come before, and the device is free after"
    prompts = [chat.encode(ask.messages) for ask in given]
    sampling = SamplingConfig(temperature=1.0, max_tokens=12, top_k=5, min_tokens=3)
    expected = actor.call("generate", prompts, 2, sampling, stable_seed(9, "look", 0), timeout_s=300)
    for ask, prompt, completions in zip(given, prompts, expected, strict=True):
        for one, completion in zip(found[ask.key], completions, strict=True):
            assert one.token_ids == completion.token_ids.tolist() and one.log_probs == completion.log_probs.tolist()
            assert (one.prompt_tokens, one.completion_tokens) == (len(prompt), len(one.token_ids))
            assert one.truncated == (completion.finish_reason == "length")
    plain = collect(policy([actor], chat, sampling=stage), given)
    assert {key: [one.text for one in answers] for key, answers in plain.items()} == {
        key: [one.text for one in answers] for key, answers in found.items()
    }
    assert backend.count_tokens(given[0].messages) == len(prompts[0])


def test_an_evaluation_may_take_longer_than_the_limit(actor, chat, tmp_path, request):
    """Two tasks of a benchmark take fifty steps of a tenth of a second and more, under a limit of three seconds."""
    sampling = Sampling(max_tokens=50)
    backend = {"timeout_s": 3.0, "sampling": SamplingConfig(min_tokens=50)}

    def answers(actor, folder):
        runs = read_tasks(BENCHMARK, ("age", "limitation"), None, 0, 6)
        answer({run.name: run for run in runs}, Journal(policy([actor], chat, **backend), folder), 128, sampling)
        return [run.answers for run in runs]

    expected, before = answers(actor, tmp_path / "fast"), actor.restarts
    assert all(one[0].completion_tokens == 50 for found in expected for one in found.values())
    assert answers(request.getfixturevalue("slow_actor"), tmp_path / "slow") == expected
    assert actor.restarts == before, "no call had to be repeated"


def test_an_interrupted_evaluation_goes_on_with_the_rest(actor, chat, tmp_path):
    given = [Ask(f"t/{n}", (("user", "盗窃" * (1 + n)),), max_tokens=4 + n) for n in range(12)]
    expected = collect(policy([actor], chat), given)
    seen = []

    class Killed(Exception):
        pass

    def kill(ask, answers):
        seen.append(ask.key)
        if len(seen) == 5:
            raise Killed

    with pytest.raises(Killed):
        Journal(policy([actor], chat), tmp_path, bound="w").generate(given, kill)
    kept = {record["key"] for record in read_lines(tmp_path / "t.jsonl", print)}
    assert kept == set(seen)
    submitted = []

    class Watched:
        name, restarts, away = actor.name, actor.restarts, False

        def call(self, method, *arguments, timeout_s):
            if method == "submit":
                submitted.extend(ids for _, ids in arguments[0])
            return actor.call(method, *arguments, timeout_s=timeout_s)

    journal = Journal(policy([Watched()], chat), tmp_path, bound="w")
    assert collect(journal, given) == expected and journal.reused == 5
    assert sorted(submitted) == sorted(chat.encode(ask.messages) for ask in given if ask.key not in kept)


class Scripted:
    """Stands where a supervised rollout actor stands; completes a prompt with its last id."""

    name = "rollout/0"

    def __init__(self, error=None):
        self.error, self.restarts, self.away, self.log, self.running = error, 0, False, [], []

    def call(self, method, *arguments, timeout_s):
        if method == "submit":
            requests, samples, sampling, seed = arguments
            self.log.append((len(requests), sampling.temperature, seed))
            self.running += [(uid, ids, samples) for uid, ids in requests]
            return None
        if self.error:
            self.away = isinstance(self.error, Away)
            raise self.error
        found, self.running = self.running, []
        return [(u, [Completion(np.array(ids[-1:]), np.zeros(1), "答", "stop", 1)] * n) for u, ids, n in found]


def test_actors_take_the_asks_in_turn_each_from_its_seed(chat):
    actors = [Scripted(), Scripted(), Scripted()]
    given = [*asks(4), Ask("t/9", (("user", "别的"),), temperature=0.5, seed=1)]
    assert set(collect(policy(actors, chat), given)) == {ask.key for ask in given}
    assert actors[0].log == [(2, 0.0, stable_seed(0, "look", 0)), (1, 0.5, stable_seed(1, "look", 0))]
    assert actors[1].log == [(1, 0.0, stable_seed(0, "look", 1))]
    assert actors[2].log == [(1, 0.0, stable_seed(0, "look", 2))]


def test_a_lost_actor_is_a_sentence_after_what_the_others_answered(chat, tmp_path):
    actors = [Scripted(), Scripted(RuntimeError("rollout/1 was lost 4 times, more than allowed"))]
    with pytest.raises(UserError, match=r"stage look: rollout/1 was lost 4 times.* run the same command again"):
        collect(Journal(policy(actors, chat), tmp_path), asks(4))
    assert [record["key"] for record in read_lines(tmp_path / "t.jsonl", print)] == ["t/0", "t/2"]


def test_what_an_actor_that_goes_away_has_not_answered_is_asked_of_the_others(chat):
    actors = [Scripted(), Scripted(Away("rollout/1 is away"))]
    assert set(collect(policy(actors, chat), asks(5))) == {ask.key for ask in asks(5)}
    assert [count for count, *_ in actors[0].log] == [3, 2] and len(actors[1].log) == 1


def test_a_question_that_leaves_no_room_is_named(chat):
    with pytest.raises(UserError, match=r"stage look: t/0 has \d+ tokens, and the model takes 128 with the answer"):
        collect(policy([Scripted()], chat), [Ask("t/0", (("user", "盗窃" * 100),))])
