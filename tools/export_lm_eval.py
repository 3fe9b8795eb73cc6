"""``python -m tools.export_lm_eval``: our questions as tasks of EleutherAI's lm-evaluation-harness.

    python -m tools.export_lm_eval --out DIR [--tasks age charge] [--questions 500] [--split test] [--model MODEL]
    lm_eval run --tasks themis --include_path DIR --model hf --model_args pretrained=MODEL --apply_chat_template

The folder holds a JSON Lines file for each task and two YAML files: the question alone, as a policy of ours was trained
on it, and with a sentence that asks for reasoning and says where the answer goes, for models that know nothing of our
form. Each way is a group; beside them are the function that reads the data from the folder, and a README.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from curricula.command import command, program
from curricula.errors import DataError
from curricula.splits import SPLITS, Split
from curricula.tasks import TASKS, find_task, make_prompts
from rl.evaluation.own import EVALUATION_SEED
from rl.inference.json_lines import write_lines

GROUP = "themis"
COT = f"{GROUP}_cot"
VERSION = 2
"""Version of the tasks; to be increased when questions, pattern or metric change."""
ANSWER = r"(?s)<answer>((?:(?!<answer>).)*?)</answer>"
"""An answer block; the last one of a completion counts."""
IGNORED = [r"[\s、，。；：,;:《》]"]
"""Removed from answer and reference before they are compared. A point stays, because 1.5 is not 15."""
HINT = "请先思考，再把最终答案写在<answer>和</answer>之间。"
MAX_TOKENS = 1024
"""Most tokens of a completion; the harness cuts a question from the left that does not fit beside them."""
SHOTS = 8
"""Worked examples of each task."""
DATA = '''"""The questions, read from the folder that this file lies in, wherever the harness is started."""

from pathlib import Path

import datasets


def load(file, **others):
    """Both splits of a task; ``others`` are settings of the harness that concern no data."""
    found = datasets.Dataset.from_json(str(Path(__file__).parent / file))
    return datasets.DatasetDict(
        {name: found.filter(lambda row, name=name: row["split"] == name) for name in ("shots", "test")}
    )
'''
README = """# Questions of Chinese law for lm-evaluation-harness

    lm_eval run --tasks {group} --include_path FOLDER --apply_chat_template --model hf --model_args pretrained=MODEL

{count} tasks, made from the statutes in force by the project Themis: `{group}` is all of them with their mean,
`{group}_TASK` is one. They ask the question alone, as Themis trains its policies. `{cot}` and `{cot}_TASK` are the same
questions with a sentence that asks for reasoning and says where the answer goes. A completion has {tokens} tokens at
most (`--gen_kwargs max_gen_toks=N` sets another number); question and completion must fit the model's context.

Split `{split}`, seed {seed}. Each line of `TASK.jsonl` has `id`, `split` (`test`, or `shots` for worked examples of the
training split), `question`, `answer`, `answer_kind` and `demonstration` (a worked completion).

| task | questions | what is asked |
|---|---|---|
{table}

The metric is `exact_match` of the last `<answer>…</answer>`, without white space, case and 、，。；：,;:《》;
a completion without such a block is wrong. Themis itself reads answers by their kind (第264条 is 第二百六十四条) and
looks for them after the reasoning alone: its own accuracy is not quite the same figure.
"""


class _Block(yaml.SafeDumper):
    """YAML that knows the harness's reference to a function."""


class _Function(str):
    """``file.function``."""


_Block.add_representer(_Function, lambda dumper, value: dumper.represent_scalar("!function", str(value)))


def task_config(task: str, group: str = GROUP, max_tokens: int = MAX_TOKENS) -> dict[str, Any]:
    """A task of one of the two groups in the form of the harness (its docs/task_guide.md)."""
    return {
        "task": f"{group}_{task}",
        "task_alias": task,
        "custom_dataset": _Function("questions.load"),
        "dataset_kwargs": {"file": f"{task}.jsonl"},
        "test_split": "test",
        "fewshot_split": "shots",
        "fewshot_config": {"sampler": "first_n", "doc_to_target": "{{demonstration}}"},
        "output_type": "generate_until",
        "doc_to_text": "{{question}}\n" + HINT if group == COT else "{{question}}",
        "doc_to_target": "{{answer}}",
        "target_delimiter": "\n",
        "generation_kwargs": {"until": [], "do_sample": False, "temperature": 0.0, "max_gen_toks": max_tokens},
        "filter_list": [
            {
                "name": "answer",
                "filter": [
                    {"function": "regex", "regex_pattern": ANSWER, "group_select": -1, "fallback": "[none]"},
                    {"function": "take_first"},
                ],
            }
        ],
        "metric_list": [
            {
                "metric": "exact_match",
                "aggregation": "mean",
                "higher_is_better": True,
                "ignore_case": True,
                "ignore_punctuation": False,
                "regexes_to_ignore": IGNORED,
            }
        ],
        "metadata": {"version": VERSION},
    }


def group_config(tasks: Sequence[str], group: str = GROUP) -> dict[str, Any]:
    """All tasks of a group as one, with the mean over tasks."""
    mean = {"metric": "exact_match", "aggregation": "mean", "weight_by_size": False, "filter_list": "answer"}
    return {
        "group": group,
        "task": [f"{group}_{task}" for task in tasks],
        "aggregate_metric_list": [mean],
        "metadata": {"version": VERSION},
    }


def rows(task: str, split: Split, questions: int) -> list[dict[str, Any]]:
    """The lines of a task's file: worked examples, then the questions (fewer where a task has no more).

    Raises:
        DataError: for an unknown task, or one without questions in the split.
    """
    drawn = [("shots", prompt) for prompt in make_prompts(task, "train", SHOTS, EVALUATION_SEED, fewer_ok=True)]
    drawn += [("test", prompt) for prompt in make_prompts(task, split, questions, EVALUATION_SEED, fewer_ok=True)]
    return [
        {
            "id": prompt.uid,
            "split": name,
            "question": prompt.messages[-1]["content"],
            "answer": prompt.reference,
            "answer_kind": prompt.answer_kind,
            "demonstration": prompt.demonstration or f"<answer>{prompt.reference}</answer>",
        }
        for name, prompt in drawn
    ]


def room(model: Path | None) -> int:
    """Most tokens of a completion: ``MAX_TOKENS``, or half the context of the model in a folder where that is less.

    Raises:
        DataError: if the folder does not say how long its context is.
    """
    if model is None:
        return MAX_TOKENS
    if not model.is_dir():
        raise DataError(f"--model {model}: there is no such folder; give that of a model")
    path = model / "config.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        length = found.get("max_position_embeddings") or found["text_config"]["max_position_embeddings"]
        return min(MAX_TOKENS, int(length) // 2)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise DataError(f"{path} does not say max_position_embeddings; give --model the folder of a model") from None


def export(
    out: Path, tasks: Sequence[str], split: Split = "test", questions: int = 500, max_tokens: int = MAX_TOKENS
) -> dict[str, int]:
    """Write the folder; returns how many questions each task has.

    Raises:
        DataError: for an unknown task, or a folder that holds other files.
    """
    described = {task: find_task(task).description for task in tasks}
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; give the folder for the tasks")
    strange = [path.name for path in out.glob("*.yaml") if not path.name.startswith(GROUP)]
    if strange:
        raise DataError(f"{out} holds {strange[0]}, which is not from an export; give an empty folder")
    for path in out.glob(f"{GROUP}*.yaml"):  # tasks of an earlier export
        path.unlink()
    counts = {}
    for task in tasks:
        found = rows(task, split, questions)
        write_lines(out / f"{task}.jsonl", found)
        counts[task] = sum(row["split"] == "test" for row in found)
    for group in (GROUP, COT):
        for task in tasks:
            _write(out / f"{group}_{task}.yaml", task_config(task, group, max_tokens))
        _write(out / f"{group}.yaml", group_config(tasks, group))
    (out / "questions.py").write_text(DATA, encoding="utf-8")
    table = "\n".join(f"| `{GROUP}_{task}` | {counts[task]} | {described[task]} |" for task in tasks)
    facts = {"count": len(tasks), "split": split, "seed": EVALUATION_SEED, "tokens": max_tokens, "table": table}
    text = README.format(group=GROUP, cot=COT, **facts)
    (out / "README.md").write_text(text, encoding="utf-8")
    return counts


def _write(path: Path, config: dict[str, Any]) -> None:
    path.write_text(yaml.dump(config, Dumper=_Block, allow_unicode=True, sort_keys=False, width=120), encoding="utf-8")


@command(DataError)
def main(argv: Sequence[str] | None = None) -> int:
    """0, or 2 with a sentence when the tasks can't be exported."""
    parser = argparse.ArgumentParser(prog=program("tools.export_lm_eval"), description="Tasks for lm_eval.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tasks, such as themis_tasks")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), help="default: all")
    parser.add_argument("--questions", type=int, default=500, help="most questions of a task (%(default)s)")
    parser.add_argument("--split", choices=SPLITS, default="test", help="(%(default)s)")
    parser.add_argument("--model", type=Path, help="folder of the model that is to answer: lengths fit its context")
    chosen = parser.parse_args(argv)
    try:
        if chosen.questions < 1:
            raise DataError(f"--questions {chosen.questions}: at least 1")
        counts = export(
            chosen.out, list(dict.fromkeys(chosen.tasks)), chosen.split, chosen.questions, room(chosen.model)
        )
    except OSError as error:
        raise DataError(f"{chosen.out} can't be written ({error.strerror}); give another --out") from None
    print(f"{chosen.out}: {len(counts)} tasks, {sum(counts.values())} questions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
