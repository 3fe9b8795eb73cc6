"""``python -m tests.rl.synthesis.measure_meaning [--model FOLDER]``: how well the step same_meaning knows paraphrases.

Of 24 pairs of questions of our own writing that say the same, recall; of 24 that do not, and are about one subject, how
many would be dropped; and precision of both together, by the similarity from which a question counts as a copy.
"""

import argparse
from pathlib import Path

import yaml

from rl.retrieval.dense import Encoder
from rl.synthesis.meaning import Characters

SIMILARITIES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def cosines(model: Path | None = None) -> dict[str, list[float]]:
    """The cosine of each pair of both sorts."""
    pairs = yaml.safe_load(Path(__file__).with_name("paraphrases.yaml").read_text(encoding="utf-8"))
    texts = [text for some in pairs.values() for pair in some for text in pair]
    embed = Encoder(model).documents if model else Characters(texts)
    return {
        sort: [
            float(one @ other) for one, other in zip(*(embed(side) for side in zip(*some, strict=True)), strict=True)
        ]
        for sort, some in pairs.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path)
    found = cosines(parser.parse_args().model)
    print("similarity  recall  dropped wrongly  precision")
    for least in SIMILARITIES:
        right, wrong = (sum(one >= least for one in found[sort]) for sort in ("same", "other"))
        recall, mistaken = right / len(found["same"]), wrong / len(found["other"])
        precision = f"{right / (right + wrong):.2f}" if right + wrong else "-"
        print(f"{least:<12}{recall:.2f}{mistaken:>17.2f}{precision:>11}")


if __name__ == "__main__":
    main()
