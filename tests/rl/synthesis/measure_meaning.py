"""``python -m tests.rl.synthesis.measure_meaning --model FOLDER``: how well the step same_meaning knows paraphrases.

Of 24 pairs of questions of our own writing that say the same, recall; of 24 that do not, and are about one subject, how
many would be dropped; and precision of both together, by the similarity from which a question counts as a copy.
"""

import argparse
from pathlib import Path

import yaml

from rl.retrieval.dense import Encoder

SIMILARITIES = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.92, 0.94, 0.96, 0.97, 0.98)


def cosines(model: Path) -> dict[str, list[float]]:
    """The cosine of each pair of both sorts."""
    found = yaml.safe_load(Path(__file__).with_name("paraphrases.yaml").read_text(encoding="utf-8"))
    encoder = Encoder(model)
    return {
        sort: [float(one @ other) for one, other in (encoder.documents(pair) for pair in pairs)]
        for sort, pairs in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    found = cosines(parser.parse_args().model)
    print("similarity  recall  dropped wrongly  precision")
    for least in SIMILARITIES:
        right, wrong = (sum(one >= least for one in found[sort]) for sort in ("same", "other"))
        recall, mistaken = right / len(found["same"]), wrong / len(found["other"])
        precision = f"{right / (right + wrong):.2f}" if right + wrong else "-"
        print(f"{least:<12}{recall:.2f}{mistaken:>17.2f}{precision:>11}")


if __name__ == "__main__":
    main()
