"""LawBench (Fei et al. 2023, arXiv 2309.16289): its metrics as its own code computes them, and corrected.

``upstream`` follows the published code bit for bit, defects included, so that scores compare with published ones.
``fixed`` reads the same answers as a person would, without their reasoning. Task 2-1 is in ``proofreading``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import cn2an
import regex

from rewards.parsing import articles, charges, find_choice, known_charges, present_name
from rewards.rules.amounts import single_amount
from rewards.rules.term import read_term
from rewards.sets import f1
from rl.evaluation.metrics import text_overlap
from rl.evaluation.metrics.labels import CAIL2018_CHARGES
from rl.evaluation.scoring import Metric, Scored

DISPUTES = (
    "诉讼主体", "租金情况", "利息", "本金争议", "责任认定", "责任划分", "损失认定及处理", "原审判决是否适当",
    "合同效力", "财产分割",
    "责任承担", "鉴定结论采信问题", "诉讼时效", "违约", "合同解除", "肇事逃逸",
)  # fmt: skip
MARRIAGE = (
    "婚后有子女", "限制行为能力子女抚养", "有夫妻共同财产", "支付抚养费", "不动产分割", "婚后分局", "二次起诉离婚",
    "按月给付抚养费",
    "准予离婚", "有夫妻共同债务", "婚前个人财产", "法定离婚", "不履行家庭义务", "存在非婚生子", "适当帮助",
    "不履行离婚协议", "损害赔偿",
    "感情不和分居满二年", "子女随非抚养权人生活", "婚后个人财产",
)  # fmt: skip
TOPICS = (
    "婚姻家庭", "劳动纠纷", "交通事故", "债权债务", "刑事辩护", "合同纠纷", "房产纠纷", "侵权", "公司法", "医疗纠纷",
    "拆迁安置",
    "行政诉讼", "建设工程", "知识产权", "综合咨询", "人身损害", "涉外法律", "海事海商", "消费权益", "抵押担保",
)  # fmt: skip
EVENTS = (
    "支付/给付", "欺骗", "搜查/扣押", "要求/请求", "卖出", "买入", "获利", "拘捕", "鉴定", "同意/接受", "供述", "联络",
    "帮助/救助",
    "租用/借用", "受伤", "伪造", "卖淫", "伤害人身", "赔偿", "归还/偿还",
)  # fmt: skip
ENTITIES = (
    "犯罪嫌疑人", "受害人", "被盗货币", "物品价值", "盗窃获利", "被盗物品", "作案工具", "时间", "地点", "组织机构",
)  # fmt: skip
NOT_ASKED = {
    "利用影响力受贿", "爆炸", "窃取、收买、非法提供信用卡信息", "窝藏、转移、收购、销售赃物", "聚众冲击国家机关",
    "走私",
    "过失以危险方法危害公共安全", "过失投放危险物质", "过失损坏广播电视设施、公用电信设施",
    "非法制造、买卖、运输、储存危险物质",
    "非法收购、运输、出售珍贵、濒危野生动物、珍贵、濒危野生动物制品", "非法收购、运输盗伐、滥伐的林木",
    "非法进行节育手术",
}  # fmt: skip
"""CAIL2018's charges that LawBench's list of 189 leaves out."""
LONGEST = math.log(216)
_HEAD = regex.compile(r"(?:类别|焦点|主题|答案)\s?[:：]\s?(?P<said>[^。\n]{1,200})")


@dataclass(frozen=True)
class LawBenchTask:
    """How one task is scored."""

    name: str
    upstream: Metric
    fixed: Metric | None = None
    """The metric without a known defect of the published code."""
    abstains: bool = True
    """Whether the published results report an abstention rate."""


def _gold(reference: str, head: str) -> str:
    if not reference.startswith(head):
        raise ValueError(f"the reference {reference[:40]!r} does not begin with {head}")
    return reference[len(head) :]


def single_choice(prediction: str, reference: str, options: Sequence[str], gold: Callable[[str], str]) -> Scored:
    """1 if the right option is the only one whose name occurs in the prediction; no option is an abstention."""
    answer = gold(reference)
    if answer == "赔偿":  # some labels of 2-2 are not among its options
        return None
    if answer not in options:
        raise ValueError(f"the reference {reference[:40]!r} names none of the options")
    named = [option for option in options if option in prediction]
    return float(named == [answer]), not named


def letters(prediction: str, reference: str, gold: Callable[[str], str]) -> Scored:
    """1 if exactly the right letter is chosen, read with its context."""
    chosen = find_choice(prediction)
    return float(chosen == frozenset(gold(reference))), chosen is None


def label_set(prediction: str, reference: str, options: Sequence[str], gold: Callable[[str], list[str]]) -> Scored:
    """F1 of the set of options whose names occur in the prediction; 0 where it is undefined."""
    wanted, named = set(gold(reference)), {option for option in options if option in prediction}
    return (f1(len(wanted & named), len(named), len(wanted)) if named and wanted else 0.0), not named


def labelled(prediction: str, reference: str, metric: Metric) -> Scored:
    """A metric on the text after 类别: or a similar cue, up to the end of the sentence, or on the whole text."""
    marks = list(_HEAD.finditer(prediction))
    return metric(marks[-1]["said"] if marks else prediction, reference)


def rouge(prediction: str, reference: str, head: str = "") -> Scored:
    """ROUGE-L over jieba's words."""
    return text_overlap.lawbench(prediction, reference.replace(head, "") if head else reference), False


def characters_f1(prediction: str, reference: str) -> float:
    """F1 of the multisets of letters and digits; 1 if both are empty (CAIL2021)."""
    counts = [Counter(c for c in text.lower() if c.isdigit() or c.isalpha()) for text in (prediction, reference)]
    return f1((counts[0] & counts[1]).total(), counts[0].total(), counts[1].total())


def reading(prediction: str, reference: str) -> Scored:
    """2-5: character F1 of an answer."""
    return characters_f1(prediction, reference.replace("回答:", "")), False


def _soft(right: float, given: int, wanted: int) -> float:
    precision, recall = right / given if given else 0.0, right / wanted if wanted else 0.0
    return 2 * precision * recall / (precision + recall + 1e-10)


def entities(prediction: str, reference: str) -> Scored:
    """2-6: soft F1 over entity types."""
    wanted: dict[str, str] = {}
    for pair in reference.split(";") if reference.strip() else ():
        parts = pair.split(":")
        if len(parts) < 2:
            raise ValueError(f"the reference {reference[:40]!r} is not 类型:值;…")
        wanted[parts[0]] = parts[1]
    given = {}
    for kind in ENTITIES:
        for match in regex.finditer(regex.escape(kind), prediction):
            if match.end() < len(prediction) - 2 and prediction[match.end()] in ":：":
                value = regex.split("\n| ", prediction[match.end() + 1 :].strip())[0].strip()
                if value not in ("无", "未提及"):
                    given[kind] = value
    if not wanted:
        return float(not given), False
    right = sum(characters_f1(value, wanted[kind]) for kind, value in given.items() if kind in wanted)
    return _soft(right, len(given), len(wanted)), not given


def triggers(prediction: str, reference: str) -> Scored:
    """2-10: soft F1 of words compared place by place."""
    given, wanted = prediction.split(";"), reference.split(";")
    right = sum(characters_f1(a, b) for a, b in zip(given, wanted, strict=False))
    return _soft(right, len(given), len(wanted)), False


def triggers_fixed(prediction: str, reference: str) -> Scored:
    """2-10 without regard to order, and with ； or 、 between words as well."""
    given = [word for word in regex.split("[;；、]", prediction) if word.strip()]
    left = [word for word in reference.split(";") if word.strip()]
    wanted, right = len(left), 0.0
    for word in given:
        best = max(left, key=lambda other: characters_f1(word, other), default=None)
        if best is not None and characters_f1(word, best) > 0:
            right += characters_f1(word, best)
            left.remove(best)
    return _soft(right, len(given), wanted), not given


def article_numbers(prediction: str, reference: str) -> Scored:
    """3-1: F1 of the first number of each piece between 、, after 第…款 is dropped and numerals are converted."""
    wanted = {int(n) for n in _gold(reference, "法条:刑法第").replace("条", "").split("、")}
    given = set()
    for piece in prediction.split("、"):
        plain = regex.sub("第(.*?)款", "", piece.replace("万元", "元"))
        plain = cn2an.transform(regex.sub("第(.*?)条", r"\1", plain), "cn2an")
        found = regex.search(r"\d+", plain)
        if found:
            given.add(int(found[0]))
    return (f1(len(wanted & given), len(given), len(wanted)) if given else 0.0), not given


def article_numbers_fixed(prediction: str, reference: str) -> Scored:
    """3-1 with every article of the prediction, and only articles."""
    wanted, given = articles(reference), articles(prediction)
    return (f1(len(wanted & given), len(given), len(wanted)) if given else 0.0), not given


def charge_names_fixed(prediction: str, reference: str) -> Scored:
    """3-3 with the longest name at a place (职务侵占 is not 侵占). A part of a selective charge counts as that charge,
    a former name as the present one."""
    wanted = frozenset(present_name(name) for name in _gold(reference, "罪名:").split(";"))
    given = frozenset(present_name(name) for name in charges(prediction) & frozenset(known_charges()))
    return (f1(len(wanted & given), len(given), len(wanted)) if given else 0.0), not given


def months(prediction: str, reference: str, read: Callable[[str], float | None]) -> Scored:
    """3-4 and 3-5: (ln 216 - |ln(a+1) - ln(b+1)|) / ln 216; life and death are left out."""
    if "死刑" in reference or "无期" in reference:
        return None
    wanted, given = int(_gold(reference, "刑期:").replace("个月", "")), read(prediction)
    distance = LONGEST if given is None else abs(math.log(wanted + 1) - math.log(given + 1))
    return (LONGEST - distance) / LONGEST, given is None


def months_upstream(text: str) -> float | None:
    """The first N个月, else N月, else N年: 1年6个月 is read as 6."""
    plain = cn2an.transform(text, "cn2an")
    for pattern, factor in ((r"(\d+)个月", 1), (r"(\d+)月", 1), (r"(\d+)年", 12)):
        found = regex.search(pattern, plain)
        if found:
            return float(int(found[1]) * factor)
    return None


def months_fixed(text: str) -> float | None:
    """The sentence that the text passes, in months; a bare number is one, and exemption is 0."""
    found = read_term(text)
    if found is None or found.kind in ("life", "death"):
        return None
    return float(found.months or 0)


def amount(prediction: str, reference: str) -> Scored:
    """3-7: 1 if the right number is among the prediction's numbers."""
    wanted = float(_gold(reference, "上文涉及到的犯罪金额:").removesuffix("元。"))
    given = [float(number) for number in regex.findall(r"\d+\.?\d*", prediction)]
    return float(wanted in given), not given


def amount_fixed(prediction: str, reference: str) -> Scored:
    """3-7 where the prediction must end with one amount, in any form."""
    wanted = float(_gold(reference, "上文涉及到的犯罪金额:").removesuffix("元。"))
    given, _ = single_amount(prediction)
    return float(given is not None and float(given) == wanted), given is None


def _letter_task(name: str, head: str, options: str) -> LawBenchTask:
    def gold(reference: str) -> str:
        return _gold(reference, head)[:1]

    return LawBenchTask(name, partial(single_choice, options=options, gold=gold), partial(letters, gold=gold))


def _label_task(
    name: str, metric: Callable[..., Scored], options: Sequence[str], gold: Callable[[str], str | list[str]]
) -> LawBenchTask:
    upstream = partial(metric, options=options, gold=gold)
    return LawBenchTask(name, upstream, partial(labelled, metric=upstream))


def _asked_charges() -> list[str]:
    return [name for name in CAIL2018_CHARGES if name not in NOT_ASKED]


def tasks() -> dict[str, LawBenchTask]:
    """Tasks by their numbers."""
    charge_set = partial(label_set, options=_asked_charges(), gold=lambda r: _gold(r, "罪名:").split(";"))
    terms = (partial(months, read=months_upstream), partial(months, read=months_fixed))
    return {
        "1-1": LawBenchTask("article recitation", partial(rouge, head="答案:"), abstains=False),
        "1-2": _letter_task("knowledge questions", "正确答案：", "ABCD"),
        "2-2": _label_task("dispute focus", single_choice, DISPUTES, lambda r: _gold(r, "争议焦点类别：")[:-1]),
        "2-3": _label_task(
            "marital disputes", label_set, MARRIAGE, lambda r: _gold(r, "类别:").removesuffix("。").split("、")
        ),
        "2-4": _label_task("issue topic", single_choice, TOPICS, lambda r: r),
        "2-5": LawBenchTask("reading comprehension", reading, abstains=False),
        "2-6": LawBenchTask("named entities", entities, abstains=False),
        "2-7": LawBenchTask("opinion summary", rouge, abstains=False),
        "2-8": _letter_task("argument mining", "[正确答案]", "ABCDE"),
        "2-9": LawBenchTask("event detection", partial(label_set, options=EVENTS, gold=lambda r: r.split(";"))),
        "2-10": LawBenchTask("trigger words", triggers, triggers_fixed, abstains=False),
        "3-1": LawBenchTask("article prediction", article_numbers, article_numbers_fixed),
        "3-2": LawBenchTask("scene article", rouge, abstains=False),
        "3-3": LawBenchTask("charge prediction", charge_set, charge_names_fixed),
        "3-4": LawBenchTask("prison term", *terms),
        "3-5": LawBenchTask("prison term, article given", *terms),
        "3-6": _letter_task("case analysis", "正确答案:", "ABCD"),
        "3-7": LawBenchTask("crime amount", amount, amount_fixed),
        "3-8": LawBenchTask("consultation", rouge, abstains=False),
    }
