"""LexPro's instruction data: elements of judgments, with terms in months and money in yuan, and the law they cite."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from curricula.cleaning import TextsOnDisk, copies
from rl.config.element_steps import BalanceStep, ElementsStep, InstructionsStep
from rl.inference.structuring.document import structure
from rl.seeds import stable_seed
from rl.synthesis.records import Dropped, Fields, Record
from rl.synthesis.step import Context

_ABBREVIATED = (
    "京北京 津天津 冀河北 晋山西 蒙内蒙古 内内蒙古 辽辽宁 吉吉林 黑黑龙江 沪上海 苏江苏 浙浙江 "
    "皖安徽 闽福建 赣江西 鲁山东 豫河南 鄂湖北 湘湖南 粤广东 桂广西 琼海南 渝重庆 川四川 贵贵州 "
    "黔贵州 云云南 藏西藏 陕陕西 甘甘肃 青青海 宁宁夏 新新疆 兵新疆"
)
PROVINCES = {pair[0]: pair[1:] for pair in _ABBREVIATED.split()}
"""The 31 provinces by the first character of a case number's court."""
NAMES = {
    "fixed": "有期徒刑", "detention": "拘役", "surveillance": "管制", "life": "无期徒刑", "death": "死刑",
    "exempt": "免予刑事处罚", "acquitted": "无罪", "fine_only": "单处罚金",
}  # fmt: skip
_TASK = "从裁判文书中提取法律要素，列JSON。刑期、考验期一律换算为月，金额一律换算为元，文书没有的要素不写。"
_CRIMINAL = "要素：判决（每名被告人的姓名、罪名、刑罚、刑期、缓刑考验期、罚金）、法条。"
_CIVIL = "要素：案由、诉讼请求金额、判决给付（付款人、收款人、金额）、案件受理费、法条。"


class Elements:
    """The elements that are asked about, how each was read, and the province."""

    name = "elements"

    def __init__(self, options: ElementsStep, context: Context) -> None:
        pass

    def run(self, record: Record) -> Fields:
        text = record.fields["text"]
        read = structure(text)["elements"]
        number = next((one["value"] for one in read.get("case_number", [])), "")
        gold, notes = (criminal if record.fields["kind"] == "criminal" else civil)(text, read)
        if not notes:
            raise Dropped("no elements", "neither a sentence nor a sum was found")
        law = [f"{one['value']['law']}{one['value']['article']}" for one in read.get("article", [])]
        gold |= {"法条": law} if law else {}
        return {"gold": gold, "notes": notes, "province": PROVINCES.get(number.partition(")")[2][:1], "")}


class Balance:
    """At most so many of each value, in an order drawn by the seed; copies of what is kept take no place."""

    name = "balance"

    def __init__(self, options: BalanceStep, context: Context) -> None:
        self.options, self.seed = options, context.seed
        self.reasons: dict[str, tuple[str, str]] = {}

    def look(self, records: Iterable[Record]) -> None:
        """Decide about all records, in the order of the draw; their texts stay on the disk."""
        texts, order = TextsOnDisk(), list[tuple[int, str, list[str], str]]()
        for place, one in enumerate(records):
            texts.append(one.fields["text"])
            own = one.fields["charges"] or [one.fields["cause"] or "unknown"]
            order.append((place, one.id, own, one.fields["province"] or "unknown"))
        random.Random(stable_seed(self.seed, self.name)).shuffle(order)
        charges: Counter[str] = Counter()
        provinces: Counter[str] = Counter()
        for (_, name, own, province), copy in copies(order, lambda one: texts[one[0]], self.options.similarity):
            full = [charge for charge in own if charges[charge] >= self.options.per_charge]
            if copy is not None:
                self.reasons[name] = copy.replace("_", " "), "of another judgment of the input"
            elif full:
                self.reasons[name] = "enough of its charge", "、".join(full)
            elif provinces[province] >= self.options.per_province:
                self.reasons[name] = "enough of its province", province
            else:
                charges.update(own)
                provinces[province] += 1

    def run(self, record: Record) -> Fields:
        if record.id in self.reasons:
            raise Dropped(*self.reasons[record.id])
        return {}


class Instructions:
    """A question about the elements, and for each cited article that was not asked before where it stands."""

    name = "instructions"

    def __init__(self, options: InstructionsStep, context: Context) -> None:
        self.max_chars = options.max_chars
        self.asked: set[str] = set()

    def run(self, record: Record) -> list[Fields]:
        fields = record.fields
        if len(fields["text"]) > self.max_chars:
            raise Dropped("too long", f"{len(fields['text'])} characters")
        wanted = _CRIMINAL if fields["kind"] == "criminal" else _CIVIL
        answer = json.dumps(fields["gold"], ensure_ascii=False, separators=(",", ":"))
        question = f"{_TASK}{wanted}\n\n{fields['text'].strip()}"
        found = [_instruction("elements", question, fields["notes"], answer)]
        found[0] |= {"reference": answer, "answer_kind": "text"}
        for link in fields.get("links", ()):
            if link["outcome"] == "right" and link["text"] and link["text"] not in self.asked:
                self.asked.add(link["text"])
                question = f"下面的规定出自哪部法律的第几条？\n\n{link['text']}"
                found.append(_instruction("knowledge", question, [f"这是{link['place']}的规定。"], link["place"]))
        return found


def _instruction(scenario: str, question: str, notes: Sequence[str], answer: str) -> Fields:
    return {"scenario": scenario, "question": question, "chain": {"reasoning": "\n".join(notes), "answer": answer}}


def criminal(text: str, read: dict[str, Any]) -> tuple[Fields, list[str]]:
    """(elements, notes) of a criminal case: the sentence of each accused."""
    sentences, notes = [], []
    for one in read.get("sentence", []):
        value = one["value"]
        said = {
            "姓名": value["defendant"], "罪名": [f"{name}罪" for name in value["charges"]],
            "刑罚": NAMES[value["kind"]], "刑期": _months(value["months"]),
            "缓刑考验期": _months(value["probation_months"]), "罚金": _yuan(value["fine_yuan"]),
        }  # fmt: skip
        sentences.append({name: found for name, found in said.items() if found})
        terms = [_counted(value[name]) for name in ("months", "probation_months") if value[name]]
        sums = [f"罚金{_yuan(value['fine_yuan'])}"] if value["fine_yuan"] else []
        notes.append(_note(text, one, [*terms, *sums]))
    return {"判决": sentences}, notes


def civil(text: str, read: dict[str, Any]) -> tuple[Fields, list[str]]:
    """(elements, notes) of another case: cause, claims, payments and fee."""
    gold: Fields = {}
    if read.get("cause"):
        gold["案由"] = read["cause"][0]["value"]
    if read.get("claim"):
        gold["诉讼请求金额"] = [_yuan(one["value"]["yuan"]) for one in read["claim"]]
    if read.get("payment"):
        gold["判决给付"] = [
            {"付款人": one["value"]["payers"], "收款人": one["value"]["payees"], "金额": _yuan(one["value"]["yuan"])}
            for one in read["payment"]
        ]
    if read.get("court_fee"):
        gold["案件受理费"] = _yuan(read["court_fee"][0]["value"]["yuan"])
    names = {"claim": "请求", "payment": "给付", "court_fee": "受理费"}
    notes = [
        _note(text, one, [f"{said}{_yuan(one['value']['yuan'])}"])
        for name, said in names.items()
        for one in read.get(name, [])[: 1 if name == "court_fee" else None]
    ]
    return gold, notes


def _note(text: str, found: Fields, values: Sequence[str]) -> str:
    quoted = "".join(text[found["start"] : found["end"]].split())
    return f"文书写明“{quoted}”" + (f"，即{'，'.join(values)}" if values else "") + "。"


def _counted(months: float) -> str:
    years, rest = divmod(months, 12)
    return f"12×{years:g}+{rest:g}={months:g}个月"


def _months(months: float | None) -> str:
    return f"{months:g}个月" if months else ""


def _yuan(yuan: float | None) -> str:
    return f"{yuan:.2f}".rstrip("0").rstrip(".") + "元" if yuan is not None else ""
