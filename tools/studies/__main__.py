"""``python -m tools.studies gain|scarce|pas``: studies of a curriculum over seeds; finished runs are not repeated."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from curricula.command import command
from rl.errors import USER_ERRORS
from tools.studies import gain, pas, scarce
from tools.studies.runs import on_one_ray


@command(*USER_ERRORS)
def main(argv: Sequence[str] | None = None) -> int:
    """Run a study."""
    parser = argparse.ArgumentParser(prog="python -m tools.studies", description="Studies of a curriculum over seeds.")
    parser.add_argument(
        "study", choices=("gain", "scarce", "pas"),
        help="RL against SFT; RL against three controls where demonstrations are few; PAS against uniform sampling",
    )  # fmt: skip
    parser.add_argument("--curriculum", help="name in rl/conf/curriculum (default: legal, scarce or pas)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds (default 0 1 2)")
    parser.add_argument("--controls", type=int, nargs="*", default=[0, 1], help="gain: seeds of the controls")
    parser.add_argument("--out", type=Path, help="folder of the runs (default runs/<study>)")
    parser.add_argument("overrides", nargs="*", help="further configuration, such as trainer.threads=1")
    given = sys.argv[1:] if argv is None else list(argv)
    settings = [one for one in given if "=" in one and not one.startswith("-")]  # they may follow a list of seeds
    chosen = parser.parse_args([one for one in given if one not in settings])
    overrides = [*chosen.overrides, *settings]
    out = chosen.out or Path("runs") / chosen.study
    typed = repeated_by(chosen, overrides)
    if chosen.study == "gain":
        curriculum = chosen.curriculum or "legal"
        on_one_ray(lambda: gain.study(curriculum, overrides, chosen.seeds, chosen.controls, out, typed))
    elif chosen.study == "scarce":
        on_one_ray(lambda: scarce.study(chosen.curriculum or "scarce", overrides, chosen.seeds, out, typed))
    else:
        on_one_ray(lambda: pas.study(chosen.curriculum or "pas", overrides, chosen.seeds, out))
    return 0


def repeated_by(chosen: argparse.Namespace, overrides: Sequence[str]) -> str:
    """The command that gives the same figures, wherever its runs are put."""
    words = [
        "python -m tools.studies",
        chosen.study,
        *(("--curriculum", chosen.curriculum) if chosen.curriculum else ()),
    ]
    words += ["--seeds", *map(str, chosen.seeds)]
    if chosen.study == "gain":
        words += ["--controls", *map(str, chosen.controls)]
    return " ".join([*words, *overrides])


if __name__ == "__main__":
    sys.exit(main())
