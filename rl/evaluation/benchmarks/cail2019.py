"""CAIL2019's elements (要素识别): which of 20 legal elements each sentence of a judgment has, in three fields of law.

A prediction names elements (返还借款) or their tags (LN5), or says 无. The official score of a field is the mean of
micro and macro F1 over its 20 elements, where an element that occurs nowhere has F1 1; ``fixed`` leaves those out. The
contest's score is the mean of the three fields.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import regex

from rewards.parsing import folded
from rewards.parsing.text import scan
from rl.errors import UserError
from rl.evaluation.benchmark import Benchmark, Question, TaskScore
from rl.evaluation.benchmark_files import find_file, values
from rl.evaluation.benchmarks.cail2018 import label_score
from rl.evaluation.scoring import answered, tried

SOURCE = "https://github.com/china-ai-law-challenge/CAIL2019 (folder 要素识别)"
TASKS = {"divorce": "marriage", "labor": "labour disputes", "loan": "loans"}
TAGS = {"divorce": "DV", "labor": "LB", "loan": "LN"}
ELEMENTS = {
    "divorce": (
        "婚后有子女", "限制行为能力子女抚养", "有夫妻共同财产", "支付抚养费", "不动产分割", "婚后分居", "二次起诉离婚",
        "按月给付抚养费", "准予离婚", "有夫妻共同债务", "婚前个人财产", "法定离婚", "不履行家庭义务", "存在非婚生子",
        "适当帮助", "不履行离婚协议", "损害赔偿", "感情不和分居满二年", "子女随非抚养权人生活", "婚后个人财产",
    ),
    "labor": (
        "解除劳动关系", "支付工资", "支付经济补偿金", "未支付足额劳动报酬", "存在劳动关系", "未签订劳动合同",
        "签订劳动合同", "支付加班工资", "支付未签订劳动合同二倍工资赔偿", "支付工伤赔偿", "劳动仲裁阶段未提起",
        "不支付违法解除劳动关系赔偿金", "经济性裁员", "不支付奖金", "违法向劳动者收取财物", "特殊工种",
        "支付工亡补助金|丧葬补助金|抚恤金", "用人单位提前通知解除", "法人资格已灭失", "有调解协议",
    ),
    "loan": (
        "债权人转让债权", "借款金额x万元", "有借贷证明", "贷款人系金融机构", "返还借款", "公司|单位|其他组织借款",
        "连带保证", "催告还款", "支付利息", "订立保证合同", "有书面还款承诺", "担保合同无效|撤销|解除", "拒绝履行偿还",
        "免除保证人保证责任", "保证人不承担保证责任", "质押人系公司", "贷款人未按照约定的日期|数额提供借款",
        "多人借款", "债务人转让债务", "约定利率不明",
    ),
}  # fmt: skip
"""Names of the elements by field, in the order of their tags (selectedtags.txt)."""
ASKED = "下面的句子出自裁判文书。它涉及下列哪些要素？只列出要素名称，没有则回答“无”。"
FILES = ("test.json", "test_selected.json", "truth_path.json", "data_small_selected.json")


def read(folder: Path, task: str, shots: int = 0) -> list[Question]:
    """Sentences of ``data/FIELD/test.json``, one question each; ids are ``document.sentence``."""
    if shots:
        raise UserError("CAIL2019 has no worked examples; ask for 0")
    places = ("", "data/", "要素识别/data/")
    path = find_file("CAIL2019", SOURCE, folder, *(f"{place}{task}/{name}" for name in FILES for place in places))
    names = "、".join(ELEMENTS[task])
    questions = []
    for number, (where, document) in enumerate(_documents(path)):
        for place, sentence in enumerate(document):
            try:
                text, labels = sentence["sentence"], [tag(str(label), task) for label in sentence["labels"]]
            except (KeyError, TypeError, ValueError) as error:
                raise UserError(f"{where}, sentence {place}: no sentence with known labels ({error})") from None
            prompt = f"{ASKED}\n要素：{names}\n句子：{text}"
            questions.append(Question(f"{number}.{place}", prompt, labels, parts=(text,)))
    return questions


def _documents(path: Path) -> list[tuple[str, list[dict[str, Any]]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        first = json.loads(text.lstrip().split("\n", 1)[0])
    except OSError as error:
        raise UserError(f"{path} can't be read: {error}") from None
    except ValueError:
        first = None
    by_line = isinstance(first, list) and first and isinstance(first[0], dict)
    found = values(path.with_suffix(".jsonl") if by_line else path, text)
    for where, document in found:
        if not isinstance(document, list):
            raise UserError(f"{where}: expected a list of sentences, found {type(document).__name__}")
    return found


def tag(label: str, task: str) -> str:
    """The tag (DV1) of an element given by tag or name. Raises ValueError if it is neither."""
    plain = label.replace(" ", "")
    if plain in ELEMENTS[task]:
        return f"{TAGS[task]}{ELEMENTS[task].index(plain) + 1}"
    number = plain.removeprefix(TAGS[task])
    if not plain.startswith(TAGS[task]) or not number.isdecimal() or not 1 <= int(number) <= len(ELEMENTS[task]):
        raise ValueError(f"{label!r} is not an element of {task}")
    return plain


def named(text: str, task: str) -> set[str]:
    """Tags of the elements that a text names; the longest name at a place counts (未签订劳动合同)."""
    names = sorted(ELEMENTS[task], key=len, reverse=True)
    pattern = regex.compile("|".join([rf"{TAGS[task]}\d{{1,2}}(?!\d)", *map(regex.escape, names)]))
    found = set()
    for match in scan(pattern, folded(text)):
        try:
            found.add(tag(match[0], task))
        except ValueError:  # a tag beyond the last one
            continue
    return found


def score(task: str, questions: Sequence[Question], predictions: Sequence[str]) -> TaskScore:
    """The official score of a field; ``micro`` and ``macro`` are the two F1."""
    tags = [f"{TAGS[task]}{number}" for number in range(1, len(ELEMENTS[task]) + 1)]
    try:
        asked = [Question(q.id, q.prompt, [tag(str(label), task) for label in q.reference]) for q in questions]
    except ValueError as error:
        raise UserError(f"{error}; references are tags or names of elements") from None
    return label_score(asked, [tried(partial(named, task=task), answered(text), set()) for text in predictions], tags)


BENCHMARK = Benchmark("cail2019", "CAIL2019 elements", SOURCE, TASKS, read, score)
