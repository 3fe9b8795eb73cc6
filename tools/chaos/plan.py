"""Which faults come when: everything is drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tools.chaos.variants import MODES, Variant, places

ACTORS = ("trainer/0", "rollout/0", "reward/0", "judge/0", "reference/0")
WORKERS = ("reward worker", "worker supervisor")
RAY = ("raylet", "gcs")
FURTHER = ("trainer/1", "judge server")
"""Victims that only some runs have."""
PLACES = ("run folder", "shared memory")
"""Victims that are no process."""
ANY = ("driver", *ACTORS, *WORKERS, *RAY)
KINDS: dict[str, tuple[float, tuple[str, ...]]] = {
    "kill": (40, ANY),
    "pause": (16, ANY),
    "slow": (8, ANY),
    "freeze": (4, ("rollout/0", "reward/0", "judge/0", "reward worker", "worker supervisor")),
    "term": (6, ("driver", "trainer/0", "rollout/0", "raylet")),
    "hangup": (3, ("driver",)),
    "ctrl-c": (5, ("driver",)),
    "disk": (4, ("run folder",)),
    "read-only": (3, ("run folder",)),
    "shm": (3, ("shared memory",)),
    "files": (4, ("driver", "trainer/0", "rollout/0", "reward/0")),
    "memory": (4, ("driver", "trainer/0", "rollout/0", "reward/0")),
    "clock": (3, ("driver",)),
}
"""How often each kind of fault comes, and whom it may hit."""
VICTIMS = (*ANY, *FURTHER, *PLACES)
MEANING = {
    "kill": "SIGKILL",
    "pause": "SIGSTOP, later SIGCONT",
    "slow": "stopped most of the time for some seconds",
    "freeze": "SIGSTOP for good",
    "term": "SIGTERM",
    "hangup": "SIGHUP to everything at the terminal",
    "ctrl-c": "SIGINT to everything at the terminal, twice",
    "disk": "no space in the run folder, until the command has ended",
    "read-only": "the run folder is read-only, until the command has ended",
    "shm": "no space in /dev/shm, until the command has ended",
    "files": "no further open file, for some seconds",
    "memory": "no further address space, for some seconds",
    "clock": "the process's clock jumps by 26 hours",
}
ENDS = ("driver", "raylet", "gcs", *PLACES)
"""Victims with which the command usually ends, and is given again."""
MOST = 16
"""Most faults of one run."""
MOST_ENDS = 3
"""Most faults of one run that hit such a victim: each costs a start."""
MOST_SAME = 3
"""Most faults of one run that hit the same other victim: a trainer that is lost for the fourth time, and a worker that
fails five times in a row at its start, end the run on purpose."""


@dataclass(frozen=True)
class Fault:
    """One fault."""

    kind: str
    victim: str
    line: int
    """It comes when metrics.jsonl has so many lines."""
    delay_s: float
    """So long after that line."""
    hold_s: float
    """How long it lasts, for the kinds that last."""
    at_start: bool = False
    """It comes at the next start of the command instead, so long after its victim has appeared."""

    def text(self) -> str:
        """Who, what, and when."""
        found = places()
        stage, step = found[min(self.line, len(found) - 1)]
        when = "at the next start" if self.at_start else f"after line {self.line} (towards {stage} step {step})"
        lasts = f" for {self.hold_s:.1f} s" if self.kind in ("pause", "slow", "files", "memory") else ""
        return f"{self.kind} {self.victim}{lasts}, {when} + {self.delay_s:.2f} s"


@dataclass(frozen=True)
class Campaign:
    """One run with several faults."""

    number: int
    variant: Variant
    faults: tuple[Fault, ...]


def campaign(
    seed: int,
    number: int,
    kinds: Collection[str] = tuple(KINDS),
    victims: Collection[str] = VICTIMS,
    modes: Sequence[str] = MODES,
    ranks: Sequence[int] = (1, 2),
    served: float = 0.15,
    most: int = MOST,
) -> Campaign:
    """The campaign of a number: equal arguments give equal faults.

    Args:
        seed: seed of the whole.
        number: number of the campaign, from 0.
        kinds: the kinds of fault that may come.
        victims: whom they may hit.
        modes: the modes that its run may have.
        ranks: the numbers of trainer ranks that it may have.
        served: how often its judge is a served model.
        most: most faults.
    """
    draw = random.Random(f"{seed}/{number}")
    mode = draw.choice([mode for mode in MODES if mode in modes])
    variant = Variant(mode, draw.choice(sorted(ranks)), draw.random() < served)
    faults: list[Fault] = []
    hit: dict[str, int] = {}
    ends = 0
    for _ in range(draw.randint(min(10, most), most)):
        kind = draw.choices(list(KINDS), [KINDS[kind][0] * (kind in kinds) for kind in KINDS])[0]
        may = list(KINDS[kind][1])
        if variant.ranks > 1 and "trainer/0" in may:
            may.append("trainer/1")
        if variant.served and "judge/0" in may:
            may += ["judge server"] * 2
        may = [one for one in may if one in victims and (hit.get(one, 0) < MOST_SAME or one in ENDS)]
        if ends >= MOST_ENDS:
            may = [one for one in may if one not in ENDS]
        if not may:
            continue
        victim = draw.choice(may)
        hit[victim] = hit.get(victim, 0) + 1
        after_end = bool(faults) and faults[-1].victim in ENDS and draw.random() < 0.3
        line = draw.randrange(len(places()))
        delay = min(4.0, draw.expovariate(1.2)) if line and not after_end else draw.uniform(0, 8)
        faults.append(Fault(kind, victim, line, round(delay, 2), round(draw.uniform(1, 12), 1), after_end))
        ends += victim in ENDS
    return Campaign(number, variant, in_order(faults))


def short(seed: int) -> Campaign:
    """One run of two ranks in which three kinds of process are killed once."""
    draw, found = random.Random(f"{seed}/short"), places()

    def kill(victim: str, stage: str) -> Fault:
        lines = [number for number, (name, _) in enumerate(found) if name == stage and number]
        return Fault("kill", victim, draw.choice(lines[:-1] or lines), round(draw.uniform(0, 0.5), 2), 0.0)

    faults = [kill("raylet", "mid"), kill("trainer/1", "sft"), kill("rollout/0", "grpo")]
    return Campaign(0, Variant("periodic", 2), in_order(faults))


def in_order(faults: Sequence[Fault]) -> tuple[Fault, ...]:
    """By their lines; a fault at a start stays behind the one that ends the command before it."""
    groups: list[list[Fault]] = []
    for fault in faults:
        if fault.at_start and groups:
            groups[-1].append(fault)
        else:
            groups.append([fault])
    return tuple(fault for group in sorted(groups, key=lambda group: group[0].line) for fault in group)
