"""The journal: what is kept, what is asked again, what is refused."""

import pytest

from rl.errors import UserError
from rl.inference.backend import Ask, RefusedAnswer, SampledAnswer
from rl.inference.journal import Journal, OpenFolder
from rl.inference.json_lines import read_lines
from tests.rl.scripted import Scripted, asks, collect


def test_a_journal_goes_on_record_by_record(tmp_path):
    notices = []
    with pytest.raises(UserError, match="the engine failed"):
        collect(Journal(Scripted(lambda ask: ask.key, fail_after=5), tmp_path, batch=2), asks(9))
    path = tmp_path / "t.jsonl"
    assert len(path.read_text().splitlines()) == 5, "a failure writes what is complete"
    path.write_text(path.read_text()[:-10])  # as a crash within a write leaves it
    second = Scripted(lambda ask: ask.key)
    found = collect(Journal(second, tmp_path, notice=notices.append), asks(9)[::-1])
    assert [ask.key for ask in second.asked] == ["t/8", "t/7", "t/6", "t/5", "t/4"]
    assert len(notices) == 1 and "half written" in notices[0]
    assert {key: answers[0].text for key, answers in found.items()} == {f"t/{n}": f"t/{n}" for n in range(9)}
    collect(Journal(Scripted(lambda ask: "again"), tmp_path), asks(9))
    whole = tmp_path / "whole"
    collect(Journal(Scripted(lambda ask: ask.key), whole), asks(9))
    assert path.read_bytes() == (whole / "t.jsonl").read_bytes(), "in the order of the asks, however it came about"


def test_a_batch_is_on_the_disk_before_the_next_begins(tmp_path):
    sizes = []

    def reply(ask):
        path = tmp_path / "t.jsonl"
        sizes.append(len(path.read_text().splitlines()) if path.exists() else 0)
        return "答"

    collect(Journal(Scripted(reply), tmp_path, batch=3), asks(8))
    assert sizes == [0, 0, 0, 3, 3, 3, 6, 6]


def test_at_once_every_answer_is_on_the_disk_before_the_next_is_asked_for(tmp_path):
    sizes, path = [], tmp_path / "t.jsonl"

    def reply(ask):
        sizes.append(len(path.read_text().splitlines()) if path.exists() else 0)
        return "答"

    collect(Journal(Scripted(reply), tmp_path, batch=3, at_once=True), asks(8))
    assert sizes == [*range(8)]
    assert len(path.read_text().splitlines()) == 8


def test_a_refusal_is_kept_like_an_answer(tmp_path):
    class Refusing(Scripted):
        def generate(self, asks, done):
            for ask in asks:
                self.asked.append(ask)
                done(ask, [RefusedAnswer("", refused="content filter")])

    first, second = Refusing(None), Refusing(None)
    found = collect(Journal(first, tmp_path), asks(2))
    assert collect(Journal(second, tmp_path), asks(2)) == found and not second.asked
    assert found["t/0"] == [RefusedAnswer("", refused="content filter")]


def test_a_journal_of_other_questions_or_sampling_is_refused(tmp_path):
    collect(Journal(Scripted(lambda ask: "答"), tmp_path), asks(2))
    with pytest.raises(UserError, match=r"t/0 that was asked with another prompt or other sampling"):
        collect(Journal(Scripted(lambda ask: "答"), tmp_path), asks(2, temperature=0.5))
    path = tmp_path / "t.jsonl"
    path.write_text("{\n" + path.read_text())
    with pytest.raises(UserError, match=r"t.jsonl, line 1 is no JSON object"):
        read_lines(path, print)


def test_a_folder_is_one_process_s_and_of_one_kind(tmp_path):
    first = OpenFolder(tmp_path, {"model": "a", "temperature": 0})
    with pytest.raises(UserError, match="being written by another process"):
        OpenFolder(tmp_path, {"model": "a", "temperature": 0})
    first.close()
    with pytest.raises(UserError, match=r"holds answers with temperature=0, and now temperature=1 is asked for"):
        OpenFolder(tmp_path, {"model": "a", "temperature": 1})


def keys(folder, name="t"):
    return [record["key"] for record in read_lines(folder / f"{name}.jsonl", print)]


def said(found):
    return {key: answers[0].text for key, answers in found.items()}


@pytest.mark.parametrize(
    ("bound", "sampling", "kept"),
    [("weights 1", {}, 5), ("weights 2", {}, 0), ("weights 1", {"max_tokens": 7}, 0), (None, {}, None)],
)
def test_answers_of_other_weights_or_sampling_are_never_used(tmp_path, bound, sampling, kept):
    with pytest.raises(UserError, match="the engine failed"):
        collect(Journal(Scripted(lambda ask: "old", fail_after=5), tmp_path, bound="weights 1"), asks(9))
    backend = Scripted(lambda ask: "new")
    journal = Journal(backend, tmp_path, bound=bound)
    if kept is None:  # a journal that is bound to nothing does not know what they depend on
        with pytest.raises(UserError, match="asked with another prompt or other sampling"):
            collect(journal, asks(9, **sampling))
        return
    found = collect(journal, asks(9, **sampling))
    assert said(found) == {f"t/{n}": "old" if n < kept else "new" for n in range(9)}
    assert (journal.reused, len(backend.asked)) == (kept, 9 - kept)
    assert keys(tmp_path) == [f"t/{n}" for n in range(9)], "what was removed is not in the file any more"


def test_a_changed_question_is_asked_again_and_one_that_is_gone_is_removed(tmp_path):
    collect(Journal(Scripted(lambda ask: "old"), tmp_path, bound="w"), asks(4))
    given = [asks(4)[0], Ask("t/1", (("user", "另一问题"),)), asks(4)[2]]
    assert said(collect(Journal(Scripted(lambda ask: "new"), tmp_path, bound="w"), given)) == {
        "t/0": "old",
        "t/1": "new",
        "t/2": "old",
    }
    assert keys(tmp_path) == ["t/0", "t/1", "t/2"]


def test_answers_that_were_drawn_together_are_used_together(tmp_path):
    given = asks(9, temperature=1.0)
    for _ in range(3):  # killed again and again, the file does not grow
        with pytest.raises(UserError, match="the engine failed"):
            collect(Journal(Scripted(lambda ask: "old", fail_after=5), tmp_path, bound="w", together=True), given)
        assert keys(tmp_path) == [f"t/{n}" for n in range(5)]
    whole = Scripted(lambda ask: "new")
    assert set(said(collect(Journal(whole, tmp_path, bound="w", together=True), given)).values()) == {"new"}
    assert len(whole.asked) == 9
    again = Scripted(lambda ask: "newer")
    assert set(said(collect(Journal(again, tmp_path, bound="w", together=True), given)).values()) == {"new"}
    assert not again.asked


def test_asks_may_come_in_parts(tmp_path):
    """As :meth:`Journal.generate` of all of them, with an answer that is asked again and one that nobody wants."""
    given = asks(7)
    collect(Journal(Scripted(lambda ask: ask.key), tmp_path / "whole", bound="w"), given)
    path = tmp_path / "parts" / "t.jsonl"
    for cut in (3, 7):
        backend, found = Scripted(lambda ask: ask.key), {}
        journal = Journal(backend, tmp_path / "parts", bound="w", at_once=True)
        changed = [*asks(1, max_tokens=cut), *given[1:]] if cut == 3 else given
        for part in (changed[:2], changed[2:3], changed[3:cut]):
            journal.part(part, lambda ask, answers, found=found: found.update({ask.key: answers[0].text}))
        assert len(found) == cut and len(backend.asked) == (3 if cut == 3 else 5), "the first was asked otherwise"
        assert len(path.read_text().splitlines()) == (3 if cut == 3 else 8)
    journal.settle("t")
    assert path.read_bytes() == (tmp_path / "whole" / "t.jsonl").read_bytes()
    journal.settle("nothing was asked of this")


def test_a_batch_is_counted_over_all_files(tmp_path):
    given = [Ask(f"file{n % 4}/{n}", (("user", str(n)),)) for n in range(12)]
    written = []

    def reply(ask):
        written.append(sum(len(path.read_text().splitlines()) for path in tmp_path.glob("*.jsonl")))
        return "答"

    collect(Journal(Scripted(reply), tmp_path, batch=5), given)
    assert written == [0] * 5 + [5] * 5 + [10] * 2


def test_tokens_come_back_as_they_were_kept(tmp_path):
    class Sampling(Scripted):
        def generate(self, given, done):
            for ask in given:
                done(ask, [SampledAnswer("答", "想", 2, 1, True, [5, 6], [-0.10000000149011612, -3.5])])

    first = collect(Journal(Sampling(None), tmp_path), asks(2))
    assert collect(Journal(Scripted(None), tmp_path), asks(2)) == first
