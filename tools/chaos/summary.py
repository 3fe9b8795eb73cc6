"""What came of all faults: a table by kind and victim, and everything as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.table import Table

from tools.chaos.campaign import Outcome
from tools.chaos.plan import KINDS, MEANING, Fault


def table(outcomes: Sequence[Outcome]) -> Table:
    """Fault kind and victim: tried, survived, and the longest time to the next new line."""
    shown = Table(title="Faults", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("fault", "victim", "tried", "survived", "told", "slowest recovery (s)", "given again"):
        shown.add_column(name, justify="left" if name in ("fault", "victim") else "right")
    pairs = {(one.fault.kind, one.fault.victim) for one in outcomes}
    last = ""
    for kind, victim in sorted(pairs, key=lambda pair: (list(KINDS).index(pair[0]), pair[1])):
        mine = [one for one in outcomes if (one.fault.kind, one.fault.victim) == (kind, victim)]
        worst = max((one.recovered_s for one in mine if one.recovered_s is not None), default=None)
        shown.add_row(
            f"{kind} ({MEANING[kind]})" if kind != last else "",
            victim,
            str(len(mine)),
            str(sum(one.survived for one in mine)),
            "" if mine[0].told is None else str(sum(bool(one.told) for one in mine)),
            "" if worst is None else f"{worst:.1f}",
            str(sum(one.starts > 0 for one in mine)),
        )
        last = kind
    shown.add_section()
    shown.add_row("all", "", str(len(outcomes)), str(sum(one.survived for one in outcomes)), "", "", "")
    return shown


def record(outcome: Outcome) -> dict[str, Any]:
    """An outcome as JSON values."""
    return asdict(outcome) | {"text": outcome.fault.text(), "survived": outcome.survived}


def recorded(values: Mapping[str, Any]) -> Outcome:
    """The outcome that :func:`record` was given."""
    own = {name: value for name, value in values.items() if name not in ("text", "survived")}
    return Outcome(**own | {"fault": Fault(**values["fault"])})
