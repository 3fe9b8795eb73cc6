"""Charts as inline SVG whose text stays text, with their legends as values for the page to write.

Drawn with matplotlib's object interface, so that no global state or display is touched. Fonts are the page's: its style
sheet sets them for all text in an SVG, Chinese included.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, wraps
from typing import Any, Literal, ParamSpec

import matplotlib
from markupsafe import Markup
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rl.language import Lang, Text, say

P = ParamSpec("P")

COLOURS = ("#2f5f9e", "#c8502d", "#1f8a70", "#b8860b", "#7a4a94", "#4a7f9c", "#a23b5c", "#6b7a2e", "#555f6b", "#d17c3f")
"""Different enough on white in any order, for colour-blind readers too (lightness also differs)."""
INK, FAINT, RULE = "#38424d", "#8a94a0", "#dfe4e9"
CJK = ("Noto Sans CJK SC", "Source Han Sans SC", "PingFang SC", "Microsoft YaHei", "WenQuanYi Micro Hei")
FONT = 9.5
"""Size of texts; a page shows a chart about as wide as it is drawn, 338 units."""
MOST_POINTS = 300
"""Longer series are drawn by the smallest and the largest value of neighbouring steps: a chart is 400 pixels wide."""


@dataclass(frozen=True)
class Curve:
    """One series of a chart."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    style: Literal["noisy", "exact", "points"] = "noisy"
    """Only a noisy series gets a moving mean."""
    spread: Sequence[float] = ()
    """Half the width of a band around ``y``, if any."""
    colour: str | None = None
    about: str = ""
    """What it is, for a tooltip."""
    bounds: tuple[float, float] | None = None
    """What no value lies beyond: a band is cut there."""


@dataclass(frozen=True)
class Rule:
    """A straight line across a chart: a threshold (``y``), or an event (``x``)."""

    label: str
    """Its entry in the legend; none if empty."""
    y: float | None = None
    x: float | None = None
    colour: str = "#9a3b3b"


@dataclass(frozen=True)
class Key:
    """An entry of a legend."""

    label: str
    colour: str
    mark: Literal["line", "dashed", "point"] = "line"
    about: str = ""
    """Its tooltip."""


@dataclass(frozen=True)
class Chart:
    """A chart for the page."""

    title: str
    svg: Markup
    note: str = ""
    """What is shown, in a few words."""
    keys: list[Key] = field(default_factory=list)
    about: str = ""
    """The tooltip of its title."""
    numbers: dict[str, Any] | None = None
    """Of a chart of curves: see :func:`_numbers`."""


def _styled(draw: Callable[P, Chart]) -> Callable[P, Chart]:
    """Draw with the report's settings, whatever the process has set."""

    @wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Chart:
        with (
            matplotlib.rc_context({"svg.fonttype": "none", "font.family": _fonts(), "font.size": FONT}),
            warnings.catch_warnings(),
        ):
            # The browser draws the text, with the page's fonts; this machine's only measure it.
            warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
            return draw(*args, **kwargs)

    return styled


@lru_cache(maxsize=1)
def _fonts() -> list[str]:
    """Fonts that texts are measured with: what this machine has."""
    here = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in CJK if name in here)]


@_styled
def line_chart(
    title: str,
    curves: Sequence[Curve],
    note: str = "",
    rules: Sequence[Rule] = (),
    log: bool = False,
    share: bool = False,
    from_zero: bool = False,
    last: int = 1,
    lang: Lang = "en",
) -> Chart:
    """Curves over steps, each with its moving mean once it is long enough to need one, with texts in a language.

    ``share`` spans 0 to 1, ``from_zero`` begins at 0, and the steps go up to ``last`` at least.
    """
    figure, axes = _axes()
    keys, lines = [], []
    for number, curve in enumerate(curves):
        colour = curve.colour or COLOURS[number % len(COLOURS)]
        lines.append((curve, say(lang, curve.label), colour, _draw(axes, curve, colour)))
        if len(curves) > 1 or curve.style == "points":
            mark: Literal["line", "point"] = "point" if curve.style == "points" else "line"
            keys.append(Key(say(lang, curve.label), colour, mark, say(lang, curve.about)))
    for rule in rules:
        if rule.y is not None:
            axes.axhline(rule.y, color=rule.colour, linewidth=1, linestyle=(0, (4, 3)))
        if rule.x is not None:
            axes.axvline(rule.x, color=rule.colour, linewidth=1.2, linestyle=(0, (4, 3)))
        if rule.label:
            keys.append(Key(say(lang, rule.label), rule.colour, "dashed"))
    if log:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    if share:
        axes.set_ylim(-0.03, 1.03)
    elif from_zero and not log:
        axes.set_ylim(bottom=0, top=1.08 * max([rule.y or 0 for rule in rules] + [max(curve.y) for curve in curves]))
    axes.set_xlabel(say(lang, Text("steps done")), color=FAINT)
    _whole_steps(axes, curves, last)
    about = say(lang, curves[0].about) if len(curves) == 1 else ""
    svg = _svg(figure, say(lang, title))  # which lays the axes out
    return Chart(say(lang, title), svg, say(lang, note), keys, about, _numbers(axes, lines, rules))


@dataclass(frozen=True)
class Estimate:
    """A value with its interval."""

    label: str
    value: float
    low: float
    high: float
    hollow: bool = False
    colour: str = COLOURS[0]


@_styled
def interval_chart(title: str, estimates: Sequence[Estimate], baseline: float | None, note: str = "") -> Chart:
    """Shares with intervals side by side, over a dashed baseline."""
    slanted = sum(len(one.label) for one in estimates) > 34
    figure, axes = _axes(height=2.3 if slanted else 1.9)
    if baseline is not None:
        axes.axhline(baseline, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    for place, one in enumerate(estimates):
        colour = one.colour
        axes.plot([place, place], [one.low, one.high], color=colour, linewidth=3, alpha=0.35, solid_capstyle="butt")
        axes.plot(
            [place], [one.value], "o", markersize=6, color=colour, markerfacecolor="white" if one.hollow else colour
        )
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlim(-0.6, len(estimates) - 0.4)
    axes.set_xticks(range(len(estimates)), [one.label for one in estimates], parse_math=False)
    if slanted:
        axes.tick_params(axis="x", rotation=24)
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")
    return Chart(title, _svg(figure, title), note)


@_styled
def histogram(
    title: str, edges: Sequence[float], counts: Sequence[float], borders: Sequence[float], lang: Lang = "en"
) -> Chart:
    """Counts between edges, over a logarithmic axis where the edges grow by factors, with borders drawn in."""
    figure, axes = _axes()
    axes.stairs(counts, edges, fill=True, color=COLOURS[0], alpha=0.75)
    for border in borders:
        axes.axvline(border, color="#9a3b3b", linewidth=1, linestyle=(0, (4, 3)))
    if edges[0] > 0 and edges[-1] / edges[0] > 30:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter("")
    axes.set_xlabel(say(lang, Text("perplexity")), color=FAINT)
    axes.set_ylim(bottom=0)
    keys = [Key(say(lang, Text("borders of the buckets")), "#9a3b3b", "dashed")] if borders else []
    return Chart(say(lang, title), _svg(figure, say(lang, title)), "", keys)


def smooth(values: Sequence[float], places: Sequence[int] | None = None) -> list[float]:
    """A centred moving mean over a tenth of the series, and over fewer values at its ends; everywhere, or at some
    places."""
    half = max(1, len(values) // 20)
    windows = (values[max(0, i - half) : i + half + 1] for i in (range(len(values)) if places is None else places))
    return [sum(window) / len(window) for window in windows]


def evenly(count: int, most: int = MOST_POINTS) -> range:
    """Places of a series: all, or at most ``most`` in the middle of equal parts."""
    size = max(1, -(-count // most))
    return range((size - 1) // 2, count, size)


def extremes(values: Sequence[float], most: int = MOST_POINTS) -> list[int]:
    """Places of a series: all, or at most ``most``, the smallest and the largest value of equal parts, so that no peak
    is lost."""
    if len(values) <= most:
        return list(range(len(values)))
    size = -(-len(values) // (most // 2))
    parts = (range(start, min(start + size, len(values))) for start in range(0, len(values), size))
    return [
        place
        for part in parts
        for place in sorted({min(part, key=values.__getitem__), max(part, key=values.__getitem__)})
    ]


@dataclass(frozen=True)
class Drawn:
    """The points of a curve that are drawn: all of a short one."""

    x: list[float]
    y: list[float]
    mean: list[float] | None = None
    """The moving mean of a noisy one, at the same places."""
    low: list[float] | None = None
    """The edges of its band."""
    high: list[float] | None = None


def drawn(curve: Curve) -> Drawn:
    """What is drawn of a curve: with a band the mean alone, else the values, and of noisy ones the moving mean too."""
    if curve.style == "points" or len(curve.x) == 1:
        return Drawn(list(curve.x), list(curve.y))
    noisy = curve.style == "noisy" and len(curve.x) >= 20
    places = list(evenly(len(curve.x))) if curve.spread else extremes(curve.y)
    x, y = ([part[place] for place in places] for part in (curve.x, curve.y))
    if not curve.spread:
        return Drawn(x, y, smooth(curve.y, places) if noisy else None)
    around = [curve.spread[place] for place in places]
    if noisy:
        y, around = smooth(curve.y, places), smooth(curve.spread, places)
    least, most = curve.bounds or (-math.inf, math.inf)
    low = [max(least, a - b) for a, b in zip(y, around, strict=True)]
    return Drawn(x, y, None, low, [min(most, a + b) for a, b in zip(y, around, strict=True)])


def _draw(axes: Any, curve: Curve, colour: str) -> Drawn:
    found = drawn(curve)
    if curve.style == "points":
        axes.plot(found.x, found.y, "o-", color=colour, markersize=4, linewidth=1, alpha=0.9)
    elif len(curve.x) == 1:
        axes.plot(found.x, found.y, "o", color=colour, markersize=4)
    elif found.low is not None:
        axes.fill_between(found.x, found.low, found.high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(found.x, found.y, color=colour, linewidth=1.8)
    elif found.mean is not None:
        axes.plot(found.x, found.y, color=colour, linewidth=0.9, alpha=0.3)
        axes.plot(found.x, found.mean, color=colour, linewidth=1.8)
    else:
        axes.plot(found.x, found.y, color=colour, linewidth=1.6)
    return found


def _numbers(axes: Any, lines: Sequence[tuple[Curve, str, str, Drawn]], rules: Sequence[Rule]) -> dict[str, Any]:
    """What the page's script (templates/charts.js) must know of a chart that is drawn.

    Returns:
        ``box``: left, top, right and bottom of the axes in the units of the SVG; ``x``, ``y``: their limits; ``log``:
        whether y is logarithmic; ``size``: of texts; ``curves``: label, colour and points, to four digits; ``rules``.
    """
    width, height = (72 * inches for inches in axes.figure.get_size_inches())
    place = axes.get_position()
    return {
        "box": _short([place.x0 * width, (1 - place.y1) * height, place.x1 * width, (1 - place.y0) * height]),
        "x": _short(axes.get_xlim()),
        "y": _short(axes.get_ylim()),
        "log": axes.get_yscale() == "log",
        "size": FONT,
        "curves": [
            {"label": label, "colour": colour, "points": curve.style == "points" or len(curve.x) == 1, "x": found.x}
            | {
                name: _short(values)
                for name in ("y", "mean", "low", "high")
                if (values := getattr(found, name)) is not None
            }
            for curve, label, colour, found in lines
        ],
        "rules": [{"x": rule.x, "y": rule.y, "colour": rule.colour} for rule in rules],
    }


def _short(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.4g}") for value in values]


def _whole_steps(axes: Any, curves: Sequence[Curve], last: float) -> None:
    last = max([last] + [max(curve.x) for curve in curves])
    axes.set_xlim(min(1, last - 0.5), max(last, 1.5))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def _axes(height: float = 2.1) -> tuple[Any, Any]:
    figure = Figure(figsize=(4.7, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    axes.grid(axis="y", color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0, labelcolor=INK)
    axes.patch.set_visible(False)
    figure.patch.set_visible(False)
    return figure, axes


def _svg(figure: Any, title: str) -> Markup:
    """A figure as part of a page: text without fonts of its own, no fixed size, no names that two charts share."""
    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": title}):  # names differ from chart to chart, not from run to run
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = file.getvalue()
    head = re.search(r"<svg[^>]*>", text)
    box = re.search(r'viewBox="[^"]*"', text)
    assert head is not None and box is not None, "matplotlib begins with the root element and its view box"
    body = text[head.end() :]
    body = re.sub(r"<metadata>.*?</metadata>|<style .*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body)
    body = re.sub(r'<g id="[^"]*"\s*/>', "", body)
    body = re.sub(r'<g id="[^"]*">', "<g>", body)
    body = re.sub(r">\s+<", "><", body)
    return Markup(f'<svg {box[0]} role="img" aria-label="{Markup.escape(title)}">{body.strip()}')
