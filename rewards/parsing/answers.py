"""The reasoning and the answer of a completion.

Four formats are known: ``<think>…</think><answer>…</answer>`` (Unilaw-R1), the same with ``<think>`` already in the
prompt, so that only ``</think>`` is written (DeepSeek-R1's templates), 思考过程 … [最终回答] … (LegalOne), and
[正确答案]…<eoa>, [罪名]…<eoa> and the like (LawBench), whatever text stands around them.
"""

import regex

from rewards.parsing.text import LONGEST, scan

_FINAL = regex.compile(
    r"[\[【]\s?最终(?:回答|答案)\s?[\]】]|(?:^|\n)[ \t]{0,4}#{0,4}[ \t]{0,4}最终(?:回答|答案)\s?[:：\n]"
)
_EOA = r"(?:[<＜〈]/?eo[a-z][>＞〉]?|[\[【]/?eoa[\]】])"
"""The end of an answer, also half written or misspelt."""
_END = regex.compile(_EOA, regex.I)
_MARKED = regex.compile(
    rf"(?P<example>(?:例如|比如|譬如|形如|示例|格式)[为是:：]?\s?[“\"']?)?[\[【]\p{{Han}}{{2,8}}[\]】]\s?[:：]?(?P<said>[^\[【]{{0,2000}}?){_EOA}",
    regex.I,
)
_AND_END = regex.compile(rf"\s?[和与至到、,，]\s?(?=[“\"']?{_EOA})", regex.I)
_UNENDED = regex.compile(
    r"[\[【](?:罪名|金额|刑期|法条|类别)[\]】]\s?[:：]?\s{0,4}(?P<said>[^\n。<]{1,200}?)(?=\s{0,4}(?:[\n。]|$|理由|解析|说明|分析|因为|根据))"
)


def thinking_of(completion: str) -> str:
    """The reasoning, or an empty text when none is marked. A ``<think>`` at the end of the prompt counts."""
    before, closed, _ = completion.rpartition("</think>")
    if closed:
        return before.removeprefix("<think>")[-LONGEST:].strip()
    _, opened, after = completion.partition("<think>")
    if opened:
        return after[-LONGEST:].strip()
    text = completion[-LONGEST:]
    mark = _last_mark(text)
    return text[: mark[0]].strip() if mark else ""


def answer_of(completion: str) -> str | None:
    """Content of the last ``<answer>…</answer>``; None if there is none, or if it is part of the reasoning."""
    return _block(_after_thinking(completion))


def final_answer(completion: str) -> str | None:
    """The answer in any of the formats: the answer block, else what follows [最终回答], else what follows the
    reasoning, else all of a completion that marks nothing; where that has a [正确答案]…<eoa> or its like, the first of
    them. None when the reasoning never ends or nothing follows it."""
    rest = _after_thinking(completion)
    block = _block(rest)
    if block is not None:
        return _marked(block)
    if "<answer>" in rest or "</answer>" in rest:
        return None
    mark = _last_mark(rest)
    return _marked((rest[mark[1] :] if mark else rest).strip()) or None


def _marked(text: str) -> str:
    """What stands in LawBench's form, without the question's own example of it; else the text up to the first <eoa>."""
    if not any(sign in text for sign in "[【<＜〈"):
        return text
    ends = _END.search(text)
    if ends is None:
        unended = _UNENDED.search(text)
        return unended["said"].strip() if unended else text
    for match in scan(_MARKED, text):
        said = match["said"].strip()
        if said and not match["example"] and said not in ("和", "与", "至", "到"):
            return said
        if not said and match.start() == 0:
            return text[match.end() :].strip()
    if _AND_END.search(text):  # the question's instruction alone
        return text
    return text[: ends.start()].strip() or text[ends.end() :].strip()


def _after_thinking(completion: str) -> str:
    """What follows the reasoning. It is cut to length only afterwards: reasoning without its beginning would pass for
    the answer."""
    _, closed, after = completion.rpartition("</think>")
    return (after if closed else completion.partition("<think>")[0])[-LONGEST:]


def _block(text: str) -> str | None:
    end = text.rfind("</answer>")
    start = text.rfind("<answer>", 0, end) if end >= 0 else -1
    return None if start < 0 else text[start + len("<answer>") : end].strip()


def _last_mark(text: str) -> tuple[int, int] | None:
    spans = [match.span() for match in scan(_FINAL, text)]
    return spans[-1] if spans else None
