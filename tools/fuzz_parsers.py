"""``python -m tools.fuzz_parsers``: random and mutated texts through every parser; prints crashes and the slowest."""

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.progress import track

from curricula.statutes import load_statutes
from rewards import parsing
from rewards.rules.choice_analysis import options_of
from rewards.rules.elements_f1 import read_elements
from rewards.rules.entity_f1 import entities

NO_PARSERS = (
    "Amount", "ArticleRef", "Term", "charges_in_force", "deadline", "known_charges", "present_charges", "present_name",
)  # fmt: skip
PARSERS: dict[str, Callable[[str], Any]] = {
    name: getattr(parsing, name)
    for name in parsing.__all__
    if callable(getattr(parsing, name)) and name not in NO_PARSERS
} | {"entities": entities, "options_of": options_of, "read_elements": read_elements}
PIECES = (
    "<think>", "</think>", "<answer>", "</answer>", "[最终回答]", "思考过程", "第", "条", "之一", "款", "项",
    "《刑法》", "《", "》", "刑法",
    "中华人民共和国", "二百六十四", "264", "2 6", "，", "。", "、", "；", "“", "”", "盗窃罪", "诈骗", "不构成",
    "有期徒刑", "拘役", "三年", "六个月",
    "以上", "以下", "缓刑", "无期徒刑", "死刑", "罚金", "人民币", "五万", "元", "50,000", "余", "2021年", "3月",
    "5日", "二〇二一年", "A", "Ｂ", "选",
    "答案是", "错误", "正确", "{", "}", '"刑期":', "```json", "零", "半", "点", "亿", "\u200b", "\x00", "\n", " ",
    "½", "ﷺ", "𠀀", "ß", "-1", "1e9",
    "百", "千千", "万亿", "时效", "\n\n\n\n", "   ", "```", "为", "本法", "同法", "或者",
)  # fmt: skip
WHOLE = (
    "<think>依《刑法》第二百六十四条“盗窃公私财物，数额较大的”，本案构成盗窃罪。</think><answer>盗窃罪，有期徒刑一年六个月，罚金5万元</answer>",
    '<answer>{"刑期": "15年", "罚金": "五万元", "罪名": ["盗窃罪"]}</answer>', "答案是ＡＢ、Ｃ。A项正确，B、C项错误。",
    "自2021年3月5日起三年的诉讼时效，至二〇二四年三月五日止", "判处有期徒刑三年，缓刑四年，并处罚金人民币叁仟元整",
)  # fmt: skip


def draw(rng: random.Random) -> str:
    """A random text: pieces of law in any order, or a whole answer with characters changed, cut, doubled or swapped."""
    if rng.random() < 0.5:
        return "".join(rng.choices(PIECES, k=rng.randint(1, 24)))
    text = list(rng.choice(WHOLE))
    for _ in range(rng.randint(1, 8)):
        place, kind = rng.randrange(len(text) or 1), rng.randrange(4)
        if kind == 0:
            text[place : place + rng.randint(1, 9)] = []
        elif kind == 1:
            text.insert(place, rng.choice(PIECES))
        elif kind == 2:
            text[place:place] = text[place : place + rng.randint(1, 9)] * rng.randint(1, 4)
        else:
            text.insert(place, chr(rng.choice((rng.randrange(32, 0x3000), rng.randrange(0x4E00, 0x9FFF)))))
    return "".join(text)


def main(argv: Sequence[str] | None = None) -> int:
    """1 if a parser raised anything."""
    arguments = argparse.ArgumentParser(prog="python -m tools.fuzz_parsers", description="Hostile input for parsers.")
    arguments.add_argument("--inputs", type=int, default=20_000)
    arguments.add_argument("--seed", type=int, default=0)
    chosen = arguments.parse_args(argv)
    rng, console = random.Random(chosen.seed), Console()
    crashes: list[str] = []
    slowest = (0.0, "", "")
    load_statutes()
    for text in WHOLE:  # fills the caches
        for parse in PARSERS.values():
            parse(text)
    for _ in track(range(chosen.inputs), "inputs", console=console, disable=not console.is_terminal):
        text = draw(rng)
        for name, parse in PARSERS.items():
            started = time.thread_time()
            try:
                parse(text)
            except Exception as error:
                crashes.append(f"{name}({text!r}): {type(error).__name__}: {error}")
            slowest = max(slowest, (time.thread_time() - started, name, text))
    for crash in crashes[:20]:
        console.print(crash, markup=False)
    console.print(
        f"{chosen.inputs} inputs through {len(PARSERS)} parsers, {len(crashes)} crashes, "
        f"slowest {slowest[0] * 1e3:.1f} ms ({slowest[1]} of {slowest[2][:60]!r})",
        markup=False, highlight=False,
    )  # fmt: skip
    return 1 if crashes else 0


if __name__ == "__main__":
    sys.exit(main())
