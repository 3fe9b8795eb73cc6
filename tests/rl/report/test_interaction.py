"""The line charts of a page in a browser: values under the pointer, zoom, and the same by keys."""

import pytest

from rl.report.charts import Curve, Rule, line_chart
from rl.report.page import environment
from tests.rl.browser import chromium

PAGE = """{% extends "base.html.j2" %}{% import "macros.html.j2" as m with context %}{% set scripted = true %}
{% block title %}charts{% endblock %}
{% block body %}<main style="width: 400px">{% for chart in charts %}{{ m.figure(chart) }}{% endfor %}</main>
{% endblock %}"""
HOSTILE = "'\"><img src=x onerror=\"document.title='taken'\">"
STEPS = range(1, 41)


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    charts = [
        line_chart("奖励", [
            Curve("noisy", STEPS, [step / 100 for step in STEPS]),
            Curve(HOSTILE, [10, 20, 40], [0.1, 0.2, 0.4], "points"),
        ], rules=[Rule("limit", y=0.3), Rule("left", x=30)], lang="zh"),
        line_chart("grows", [Curve("grows", [1, 2, 3], [1e-6, 1e-3, 10.0], "exact")], log=True),
        line_chart("band", [Curve("mean", [1, 2, 3], [0.2, 0.4, 0.6], "exact", [0.1, 0.1, 0.2])], share=True),
    ]  # fmt: skip
    page = tmp_path_factory.mktemp("page") / "charts.html"
    page.write_text(environment("zh").from_string(PAGE).render(charts=charts), encoding="utf-8")
    with chromium(tmp_path_factory.mktemp("profile")) as tab:
        size = {"width": 800, "height": 1200, "deviceScaleFactor": 1, "mobile": False}
        tab.call("Emulation.setDeviceMetricsOverride", **size)
        tab.call("Page.navigate", url=page.as_uri())
        tab.wait("document.readyState === 'complete' && document.querySelectorAll('figure svg[tabindex]').length === 3")
        yield tab
        assert not tab.console and all(url.startswith(("file:", "data:")) for url in tab.requests)
        assert tab.run("document.title") == "charts"


def mouse(tab, kind, chart, step, height=0.4, **more):
    """A mouse event at a step of a chart, by the whole axes of its numbers."""
    where = f"""(figure => {{
        const {{box, x}} = JSON.parse(figure.dataset.chart), svg = figure.querySelector("svg");
        const area = svg.getBoundingClientRect(), part = box[0] + ({step} - x[0]) / (x[1] - x[0]) * (box[2] - box[0]);
        return [area.left + part * area.width / svg.viewBox.baseVal.width, area.top + {height} * area.height];
    }})(document.querySelectorAll("figure")[{chart}])"""
    x, y = tab.run(where)
    tab.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)


def key(tab, name):
    """A key that is pressed on what has the focus."""
    tab.call("Input.dispatchKeyEvent", type="keyDown", key=name)
    tab.call("Input.dispatchKeyEvent", type="keyUp", key=name)


def tip(tab, chart=0):
    """What is shown of the step."""
    return tab.run(f"document.querySelectorAll('.tip')[{chart}].textContent")


def zoomed(tab, chart=0):
    """Texts of the axes of a chart that is zoomed; none where it is shown whole."""
    figure = f"document.querySelectorAll('figure')[{chart}]"
    hidden = tab.run(f"getComputedStyle({figure}.querySelector('svg > g')).display === 'none'")
    texts = tab.run(f"[...{figure}.querySelectorAll('svg > g:nth-of-type(2) text')].map(one => one.textContent)")
    assert hidden == bool(texts), "either the picture or its part is shown"
    return texts


def drag(tab, chart, start, end):
    """Drag over a chart from one step to another."""
    mouse(tab, "mousePressed", chart, start, button="left", buttons=1, clickCount=1)
    mouse(tab, "mouseMoved", chart, (start + end) / 2, button="left", buttons=1)
    mouse(tab, "mouseMoved", chart, end, button="left", buttons=1)
    mouse(tab, "mouseReleased", chart, end, button="left", clickCount=1)


def test_the_values_of_a_step_are_shown_under_the_pointer(tab):
    mouse(tab, "mouseMoved", 0, 20.2)
    assert tip(tab) == f"第 20 步noisy 0.2 · 平均 0.2{HOSTILE} 0.2"
    mouse(tab, "mouseMoved", 0, 30)
    assert tip(tab) == "第 30 步noisy 0.3 · 平均 0.3", "the other curve has no point near it"
    mouse(tab, "mouseMoved", 2, 3)
    assert tip(tab, 2) == "第 3 步mean 0.6 (0.4–0.8)" and tip(tab) == "", "the pointer has left the first"


def test_dragging_zooms_and_a_double_click_shows_all_again(tab):
    drag(tab, 0, 9.6, 20.4)
    texts = zoomed(tab)
    assert {"10", "20"} <= {*texts} and "40" not in texts and "0.3" not in texts
    mouse(tab, "mouseMoved", 0, 1)
    assert tip(tab).startswith("第 10 步"), "the left end of the axes is another step now"
    drag(tab, 0, 1, 1.2)
    assert zoomed(tab) == texts, "a click is no drag"
    for count in (1, 2):
        mouse(tab, "mousePressed", 0, 20, button="left", buttons=1, clickCount=count)
        mouse(tab, "mouseReleased", 0, 20, button="left", clickCount=count)
    assert zoomed(tab) == []
    drag(tab, 1, 0.9, 3.1)
    assert {"0.00001", "1"} <= {*zoomed(tab, 1)}, "powers of ten"


def test_keys_do_the_same(tab):
    tab.run("document.querySelector('figure svg').focus()")
    key(tab, "ArrowLeft")
    assert tip(tab).startswith("第 40 步")
    key(tab, "ArrowLeft")
    assert tip(tab).startswith("第 39 步")
    key(tab, "Home")
    assert tip(tab).startswith("第 1 步")
    key(tab, "+")
    assert zoomed(tab) and "40" not in zoomed(tab) and tip(tab).startswith("第 1 步")
    key(tab, "End")
    assert not tip(tab).startswith("第 40 步")
    for _ in range(3):
        key(tab, "-")
    assert zoomed(tab) == []
    key(tab, "+")
    assert zoomed(tab)
    key(tab, "Escape")
    assert zoomed(tab) == []
    tab.run("document.activeElement.blur()")
    assert tip(tab) == ""
