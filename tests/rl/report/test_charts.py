"""Charts: bands and points of a series, and text that stays text."""

import random
import warnings

from rl.report.charts import Curve, Estimate, Rule, _axes, _draw, evenly, extremes, interval_chart, line_chart, smooth
from rl.report.comparison import CURVES


def test_the_band_of_a_share_stays_between_0_and_1():
    def band(bounds):
        _, axes = _axes()
        _draw(axes, Curve("a", [1, 2, 3], [0.05, 0.5, 0.95], "noisy", [0.2, 0.2, 0.2], bounds=bounds), "k")
        heights = axes.collections[0].get_paths()[0].vertices[:, 1]
        return round(min(heights), 9), round(max(heights), 9)

    assert band(CURVES["reward"]) == (-0.15, 1.15) and band(CURVES["reward/accuracy"]) == (0, 1)


def test_the_text_of_charts_stays_text_and_needs_no_font_here():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chart = interval_chart("任务", [Estimate("𠮷盗窃罪$x$<b>&", 0.5, 0.4, 0.6)], 0.3)
        line = line_chart("奖励", [Curve("甲", [1, 2, 3], [1e-5, 1e-3, 0.1])], rules=[Rule("门", y=0.01)], log=True)
    assert "𠮷盗窃罪$x$&lt;b&gt;&amp;</text>" in chart.svg and "font-family" not in chart.svg
    assert "0.001</text>" in line.svg and [key.label for key in line.keys] == ["门"]


def test_long_series_are_thinned_and_noise_is_smoothed():
    assert extremes([3.0, 1.0, 2.0, 5.0, 4.0, 6.0], most=4) == [0, 1, 4, 5] and extremes([1.0, 2.0]) == [0, 1]
    rng = random.Random(0)
    values = [rng.random() for _ in range(10_001)]
    values[4_321], values[8_765] = 99.0, -99.0
    places = extremes(values)
    assert len(places) <= 300 and places == sorted({*places}) and {4_321, 8_765} <= {*places}
    assert list(evenly(10, most=5)) == [0, 2, 4, 6, 8] and list(evenly(2)) == [0, 1] and len(evenly(10_001)) <= 300
    assert smooth([0.0, 3.0, 0.0], [1]) == [1.0]
    assert smooth([0.0, 3.0, 0.0]) == [1.5, 1.0, 1.5]
    chart = line_chart("long", [Curve("a", range(1, 20_001), [0.1] * 20_000)])
    assert len(chart.svg) < 40_000
