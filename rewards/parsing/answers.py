"""What of a completion is thought and what is answer.

Three writings are known: ``<think>…</think><answer>…</answer>`` (Unilaw-R1), the same with ``<think>`` already in the
prompt, so that only ``</think>`` is written (DeepSeek-R1's templates), and 思考过程 … [最终回答] … (LegalOne).
"""

import regex

from rewards.parsing.text import LONGEST, scan

_FINAL = regex.compile(
    r"[\[【]\s?最终(?:回答|答案)\s?[\]】]|(?:^|\n)[ \t]{0,4}#{0,4}[ \t]{0,4}最终(?:回答|答案)\s?[:：\n]"
)


def thinking_of(completion: str) -> str:
    """The reasoning, or an empty text when none is marked. What a prompt opened for the policy counts as opened."""
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
    """What is answered in any of the writings: the answer block, else what follows [最终回答], else what follows the
    reasoning, else all of a completion that marks nothing. None when the reasoning never ends or nothing follows it."""
    rest = _after_thinking(completion)
    block = _block(rest)
    if block is not None:
        return block.removesuffix("<eoa>").rstrip()
    if "<answer>" in rest or "</answer>" in rest:
        return None
    mark = _last_mark(rest)
    return (rest[mark[1] :] if mark else rest).strip().removesuffix("<eoa>").strip() or None


def _after_thinking(completion: str) -> str:
    """What follows the reasoning. Only then is it cut to length: reasoning whose beginning were cut off would pass for
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
