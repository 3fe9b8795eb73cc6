"""What is refused of a curriculum's state before anything starts, and the weights that follow from it."""

import pytest

from rl.config.compose import load
from rl.config.derive import check, task_weights
from rl.errors import UserError

GRPO = {"kind": "grpo", "steps": 2, "max_prompt_tokens": 96, "sampling": {"max_tokens": 32}}
LOOK = {"name": "look", "kind": "evaluate", "tasks": ["age"], "sampling": {"temperature": 0, "max_tokens": 32}}
SCORES = {"name": "scores", "kind": "perplexity", "corpus": [{"laws": ["刑法"]}], "window": 128}
MID = {
    "name": "mid", "kind": "mid_training", "steps": 4, "corpus": [{"laws": ["刑法"]}], "sequence_length": 128,
    "pas": {"scores": "scores"}, "optim": {"schedule": "wsd"},
}  # fmt: skip


def config(*stages, **values):
    return load({"run_dir": "unset", "curriculum": {"name": "c", "stages": list(stages)}, **values})


def grpo(name="rl", **fields):
    return {"name": name, **GRPO, "tasks": {"age": 1.0}, **fields}


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([grpo(gates={"leave": [{"metric": "task/agee/accuracy", "above": 1}]})], "did you mean task/age/accuracy"),
        ([grpo(gates={"fall_back": [{"metric": "kl", "above": 1}]})], "kl is not a metric of this stage"),
        ([grpo(gates={"enter": [{"metric": "format", "above": 0.9}]})], "needs an evaluate stage before"),
        (
            [LOOK, grpo(gates={"enter": [{"metric": "formatt", "above": 0.9}]})],
            "not a result of the evaluation look; did you mean format",
        ),
        ([grpo(tasks={"agee": 1.0})], "did you mean age"),
        ([grpo(tasks={"my/cases.jsonl": 1.0})], "data file my/cases.jsonl does not exist"),
        ([grpo(tasks={}, data="cases.csv")], "data=cases.csv is neither .jsonl nor .parquet"),
        ([MID], r"pas.scores=scores is no perplexity stage before this one \(there is none\)"),
        ([SCORES, MID | {"corpus": [{"laws": ["民法典"]}]}], "the source statutes is not scored by stage scores"),
        ([SCORES, MID | {"corpus": [{"laws": ["刑法"]}, {}]}], "is not scored"),
        ([MID | {"name": "m", "pas": None, "corpus": [{"path": "no/folder"}]}], "data file no/folder does not exist"),
    ],
)
def test_what_cannot_work_is_one_line(stages, message):
    with pytest.raises(UserError, match=message):
        check(config(*stages))


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (MID | {"optim": {"schedule": "cosine"}}, "pas follows the phases of optim.schedule=wsd"),
        (MID | {"pas": {"scores": "s", "scale": "quantile"}}, "shares of the documents, such as"),
        (MID | {"pas": {"scores": "s", "borders": [5, 3, 30]}}, "must rise"),
        (MID | {"pas": {"scores": "s", "weights": [0, 0, 0]}}, "not all 0"),
        (MID | {"pas": {"score": "s"}}, "did you mean scores"),
        (MID | {"corpus": [{"path": "hf:owner/name"}]}, "set limit, the number of documents"),
        (MID | {"corpus": [{"lawz": ["刑法"]}]}, "did you mean laws"),
        (MID | {"clean": {"min_char": 3}}, "did you mean min_chars"),
        (grpo(gates={"leave": [{"metric": "reward"}]}), "give above or below"),
        (grpo(gates={"leave": [{"metrik": "reward"}]}), "did you mean metric"),
    ],
)
def test_what_is_not_valid_names_the_fix(stage, message):
    with pytest.raises(UserError, match=message):
        config(stage)


def test_muon_is_for_whole_matrices():
    with pytest.raises(UserError, match="use adamw"):
        check(config(grpo(optim={"optimizer": "muon"}), model={"lora_rank": 8}))
    check(config(grpo(optim={"optimizer": "muon"})))


def test_a_scored_corpus_may_be_larger():
    check(config(SCORES | {"corpus": [{}]}, MID))


def test_replay_gives_its_share_to_tasks_that_only_earlier_stages_name():
    stages = [
        grpo("one", tasks={"age": 3.0, "parole": 1.0}),
        grpo("two", tasks={"age": 1.0, "charge": 1.0}, replay=0.4),
        grpo("three", tasks={"limitation": 2.0}, replay=0.5),
    ]
    found = config(*stages)
    one, two, three = (task_weights(found, stage) for stage in found.curriculum.stages)
    assert one == {"age": 0.75, "parole": 0.25}
    assert two == pytest.approx({"age": 0.3, "charge": 0.3, "parole": 0.4})
    assert three["limitation"] == 0.5 and sum(three.values()) == pytest.approx(1)
    assert three["age"] / three["charge"] == pytest.approx((0.75 + 0.5) / 0.5)
