"""What is refused of a curriculum's state before anything starts, and the weights that follow from it."""

import io

import pytest
from rich.console import Console

from rl.config.compose import load
from rl.config.derive import check, derive, logging_setting, task_weights, wants_judge
from rl.errors import UserError
from rl.plan import batch_table

GRPO = {"kind": "grpo", "steps": 2, "max_prompt_tokens": 96, "sampling": {"max_tokens": 32}}
LOOK = {"name": "look", "kind": "evaluate", "tasks": ["age"], "sampling": {"temperature": 0, "max_tokens": 32}}
SCORES = {"name": "scores", "kind": "perplexity", "corpus": [{"laws": ["刑法"]}], "window": 128}
MID = {
    "name": "mid", "kind": "mid_training", "steps": 4, "corpus": [{"laws": ["刑法"]}], "sequence_length": 128,
    "pas": {"scores": "scores"}, "optim": {"schedule": "wsd"},
}  # fmt: skip


REJECTION = {
    "name": "own", "kind": "rejection", "rounds": 3, "sampling_steps": 2, "training_steps": 5, "tasks": {"age": 1.0},
    "keep": {"at_least": 1.0}, "max_prompt_tokens": 96, "sampling": {"max_tokens": 32}, "prompts_per_step": 16,
    "samples_per_prompt": 4,
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
        ([REJECTION | {"tasks": {"agee": 1.0}}], "did you mean age"),
        ([REJECTION | {"tasks": {}, "data": "my/cases.jsonl"}], "data file my/cases.jsonl does not exist"),
        ([REJECTION | {"keep": {"at_least": 1, "reward": "rouge_l"}}], "is none of the stage's rewards: accuracy, for"),
        ([REJECTION | {"reward": {"rubric": 1.0}}], "rubric needs a language model as judge"),
        ([REJECTION | {"max_prompt_tokens": 500}], "needs sequences of 532 tokens"),
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
        (REJECTION | {"keep": {}}, "keep.at_least: no value is given"),
        (REJECTION | {"keep": {"at_leest": 1}}, "did you mean at_least"),
        (REJECTION | {"kind": "rejections"}, "did you mean rejection"),
        (REJECTION | {"steps": 3}, "steps: no such key"),
        (REJECTION | {"tasks": {}}, "give either tasks"),
        (REJECTION | {"sampling": {"temperature": 0}}, "draws the same completion n times"),
    ],
)
def test_what_is_not_valid_names_the_fix(stage, message):
    with pytest.raises(UserError, match=message):
        config(stage)


def test_the_plan_of_a_rejection_stage_counts_its_rounds():
    found = config(grpo("before", tasks={"parole": 1.0}), REJECTION | {"sampling": {"top_p": 0.9, "max_tokens": 32}})
    check(found)
    stage = found.curriculum.stages[1]
    plan = derive(found).stages[1]
    assert (plan.steps, stage.steps_that_sample, plan.sequences_per_update, plan.longest_row) == (21, 6, 16, 128)
    assert plan.work.sampled == 16 * 4 * 32 and plan.work.trained == 16 * 128
    assert task_weights(found, stage) == {"age": 1.0}, "replay is for GRPO"
    assert logging_setting(found, stage).rewards == ("accuracy", "format")
    table = Console(width=200, record=True, file=io.StringIO())
    table.print(batch_table(derive(found)))
    (row,) = [line.split() for line in table.export_text().splitlines() if "rejection" in line]
    assert row == ["own", "rejection", "21", "16", "4", "4096", "16", "128"]


def test_a_rejection_stage_may_need_the_judge():
    assert wants_judge(config(REJECTION | {"reward": {"legal_validity": 1.0}})) and not wants_judge(config(REJECTION))


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
