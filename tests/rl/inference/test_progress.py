"""How far generation is: lines where there is no terminal."""

import io

from rich.console import Console

from rl.inference.progress import Metered, Pace
from tests.rl.scripted import Scripted, asks, collect


def console():
    return Console(file=io.StringIO(), width=200)


def test_lines_say_what_is_done_the_speed_the_cost_and_the_time_left(monkeypatch):
    clock = iter([100.0, 110.0, 129.0, 131.0, 140.0, 171.0])
    monkeypatch.setattr("rl.inference.progress.time.monotonic", lambda: next(clock))
    out = console()
    with Pace(out, "score", 1000, lambda: 1.234) as pace:
        pace.advance(10)
        pace.advance(50, 100)
        pace.advance(2, 55)  # after 31 s
        pace.advance(1)
        pace.advance(3)  # 40 s later
    assert out.file.getvalue().splitlines() == [
        "score: 62 of 1,000 · 5 tokens/s · cost 1.23 · 0:07:49 left",
        "score: 66 of 1,000 · 0 tokens/s · cost 1.23 · 2:35:40 left",
    ]


def test_nothing_is_said_of_what_is_not_known():
    out = console()
    with Pace(out, "mask", 4, line_s=0) as pace:
        pace.advance()
    assert out.file.getvalue().startswith("mask: 1 of 4 · 0:00:0")


def test_several_calls_advance_one_pace_with_tokens_alone():
    meter = Metered(Scripted(lambda ask: "答案"), console())
    with Pace(meter.console, "score", 6) as pace:
        meter.pace = pace
        collect(meter, asks(3))
        collect(meter, asks(3))
    assert (pace.done, pace.tokens) == (0, 12) and (meter.answered, meter.tokens) == (6, 12)
    meter.pace = None
    assert len(collect(meter, asks(2))) == 2 and meter.answered == 8
