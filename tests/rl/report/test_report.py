"""The pages about runs: what they say, that they are safe to open, and that a browser shows them."""

import base64
import hashlib
import json
import re
import shutil
import statistics
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from curricula.pas import PHASES
from rl.config.metrics import find
from rl.errors import UserError
from rl.evaluation.statistics import interval
from rl.records.results import EvalResult, read, wilson
from rl.report.comparison import IN_LABEL, Variant, flatten, variants, with_whole_parts, write_comparison
from rl.report.page import count, duration, headline, render, write_report
from rl.report.read import read_run
from rl.report.sampled import training_samples
from tests.conftest import ROOT
from tests.rl.browser import browser, needs_chinese_font
from tests.rl.report.folders import HOSTILE, LEFT_AFTER, run_folder
from tools import report

SECTIONS = ("results", "why", "curves", "time", "corpus", "samples", "setup")


class Page(HTMLParser):
    """Tags, attributes, ids and text of a page, as a browser's parser would find them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.ids, self.text, self.rows = set(), [], set(), "", []
        self.feed(text)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        self.ids |= {value for name, value in attrs if name == "id"}
        if tag == "tr":
            self.rows.append("")

    def handle_data(self, data):
        if self.lasttag not in ("style", "script"):
            self.text += data + " "
            if self.rows:
                self.rows[-1] += data.strip() + " "


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Two seeds of one configuration and one run of another, in one folder."""
    folder = tmp_path_factory.mktemp("sweep")
    run_folder(folder / "seed=0", seed=0, hostile=True)
    run_folder(folder / "seed=1", seed=1)
    run_folder(folder / "prompts_per_step=8", skill=0.4, prompts_per_step=8)
    return folder


@pytest.fixture(scope="module")
def page(sweep):
    return write_report(sweep / "seed=0").read_text(encoding="utf-8")


def test_the_page_has_every_section_and_its_figures(sweep, page):
    found = Page(page)
    assert set(SECTIONS) <= found.ids and {"stage-mid", "stage-sft", "stage-grpo"} <= found.ids
    result = read(sweep / "seed=0" / "results.json")[-1]
    low, high = wilson(result.per_task["age"]["correct"], result.per_task["age"]["n"])
    row = next(row for row in found.rows if row.split()[:2] == ["grpo", "test"])
    assert f"{100 * result.per_task['age']['correct'] / 20:.1f} {100 * low:.0f}–{100 * high:.0f}" in row
    assert f"{100 * result.average:.1f} {100 * result.interval[0]:.0f}–{100 * result.interval[1]:.0f}" in row
    majority = f"majority answer test {100 * result.majority['age']:.1f} {100 * result.majority['charge']:.1f}"
    assert any(" ".join(row.split()).startswith(majority) for row in found.rows)
    for text in (
        f"left after step {LEFT_AFTER}", "leave: reward/accuracy ≥ 0.8 for 3 steps", "the weights of step 15 are kept",
        "accuracy ≥ 0.99 does not hold: it is 0.85 (evaluation look)", "median perplexity 12.3 over 452 documents",
        "The reward rises", "Held-out accuracy rose from", "The held-out loss was lowest after step 15",
        "Held-out general text got harder", "waiting for completions", "complete", "何罪何条？",
        "刑法", "near duplicate", *PHASES, "1 if the answer agrees with the reference, else 0.",
        "'不明' is not", 'verdicts: ["对", 1]', "by licence:", "CC0-1.0 80, (not given) 10",
    ):  # fmt: skip
        assert text in found.text, text
    for title in ("Reward", "Accuracy by task", "Lost samples", "Entropy", "KL", "Gradient norm", "Learning rate"):
        assert f'aria-label="{title}"' in page, title
    assert 'aria-label="Staleness"' not in page, "nothing is stale in this run"
    assert ("title", f"entropy: {find('entropy', 'grpo').meaning}") in found.attributes, "the catalogue is the tooltip"
    assert any(
        name == "title" and value.startswith("reward/overlong: Mean overlong") for name, value in found.attributes
    )
    assert "overlong" in found.text and "algorithm.overlong_buffer: what a completion loses" in found.text


def test_benchmarks_stand_beside_their_contamination(sweep, page, tmp_path):
    rows = {row.split()[0]: " ".join(row.split()) for row in Page(page).rows if row.startswith(("1_2 ", "3_4 "))}
    low, high = interval([1.0] * 4 + [0.0] * 6)
    assert rows["3_4"].startswith("3_4 multi-hop reasoning contamination: contains JEC-QA 40.0 ")
    assert f" 40.0 {100 * low:.1f}–{100 * high:.1f} · n 10 1 answer cut off 70.0 " in rows["3_4"]
    assert rows["1_2"].count("2 too long to be asked") == 2 and "contamination" not in rows["1_2"]
    head = next(row for row in Page(page).rows if row.startswith("task "))
    assert " ".join(head.split()) == "task sft look grpo test"
    shutil.copytree(sweep / "seed=0", tmp_path / "run")
    (tmp_path / "run" / "results.json").unlink()
    text = Page(write_report(tmp_path / "run").read_text()).text
    assert "contains JEC-QA" in text and "No evaluation" not in text
    (tmp_path / "run" / "benchmarks.json").write_text('[{"stage": "look"}]')
    with pytest.raises(UserError, match=r"benchmarks\.json is not as it was written \(\[0\]"):
        write_report(tmp_path / "run")


def test_untrusted_text_stays_text(page):
    assert page.count("<script") == 1 and "&lt;script&gt;document.title" in page
    found = Page(page)
    assert HOSTILE.split("<img")[0] in found.text and f"teacher: {HOSTILE}" in found.text
    assert not {"img", "iframe", "object", "form"} & found.tags
    assert not [name for name, _ in found.attributes if name.startswith("on")]


def test_the_page_runs_no_script_but_ours(page):
    ours = re.search(r"<script[^>]*>(.*?)</script>", page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(ours.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'" in page
    assert "innerHTML" not in ours and "http:" not in ours.replace('"http://www.w3.org/2000/svg"', "")


def test_the_page_loads_nothing_from_a_network(page):
    addresses = [value for name, value in Page(page).attributes if name in ("src", "href", "xlink:href", "action")]
    assert addresses and all(value.startswith(("#", "data:")) for value in addresses)
    assert not re.search(r"url\((?!#)|@import", page)
    assert "default-src 'none'" in page


def test_the_same_folder_gives_the_same_page(sweep, page):
    assert render(read_run(sweep / "seed=0")) == page


def test_samples_are_the_best_the_worst_and_the_odd(sweep):
    run = read_run(sweep / "seed=0")
    found = [(one.why, one.row["step"]) for one in training_samples(run, run.stage("grpo"))]
    last = LEFT_AFTER - 1
    assert found == [("best", 0), ("worst", 0), ("best", last), ("worst", last), ("cut off", last)]
    best = training_samples(run, run.stage("grpo"))[0]
    assert best.row["reward"] == pytest.approx(sum(part.weighted for part in best.parts))
    worst = training_samples(run, run.stage("grpo"))[1]
    assert worst.parts[-1].name == "overlong" and worst.parts[-1].score < 0
    assert worst.row["reward"] == pytest.approx(sum(part.weighted for part in worst.parts))
    assert [is_tag for _, is_tag in best.text] == [True, False, True, True, False, True]


def test_a_run_that_has_only_begun_has_a_page(sweep, tmp_path):
    shutil.copytree(sweep / "seed=0", tmp_path / "run")
    for name in ("results.json", "benchmarks.json", "rollouts", "corpus", "report.html"):
        path = tmp_path / "run" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    lines = (sweep / "seed=0" / "metrics.jsonl").read_text().splitlines()
    (tmp_path / "run" / "metrics.jsonl").write_text("\n".join(lines[:3]) + '\n{"stage": "mid", "st')
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(manifest | {"stages": {"ppl": {"done": True}}}))
    text = Page(write_report(tmp_path / "run").read_text()).text
    assert "unfinished: stage mid, step 2 of 12" in text and "No evaluation has been made" in text
    (tmp_path / "run" / "metrics.jsonl").unlink()
    assert "No training stage has logged a step yet" in Page(write_report(tmp_path / "run").read_text()).text


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (None, "is not a folder"),
        ({}, "has no manifest.json"),
        ({"manifest.json": '{"name": "web-app"}'}, "is not the manifest of a run"),
        ({"manifest.json": "[1]"}, "is not the manifest of a run"),
        ({"manifest.json": "{"}, "is damaged"),
    ],
)
def test_a_foreign_folder_is_one_clear_error(tmp_path, capsys, files, message):
    folder = tmp_path / "elsewhere"
    if files is not None:
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
    assert report.main([str(folder)]) == 2
    printed = capsys.readouterr().err
    assert message in printed and printed.count("\n") == 1


def test_a_damaged_line_in_the_middle_is_named(sweep, tmp_path):
    shutil.copytree(sweep / "seed=0", tmp_path / "run")
    path = tmp_path / "run" / "metrics.jsonl"
    path.write_text('{"stage": "mid"}\n' + path.read_text())
    with pytest.raises(UserError, match=r"metrics\.jsonl:1 is not a line of metrics"):
        write_report(tmp_path / "run")


def test_the_command_writes_pages_without_torch_ray_or_vllm(sweep, tmp_path):
    code = (
        "import sys; from tools.report import main; arguments = sys.argv[1:]; "
        "status = main(arguments[:3]) + main(arguments[3:]); "
        "print([name for name in ('torch', 'ray', 'vllm', 'transformers') if name in sys.modules]); sys.exit(status)"
    )
    pages = {tmp_path / "deep" / "page.html": "report of a run", tmp_path / "all.html": "comparison of runs"}
    wanted = [
        argument
        for folder, out in zip((sweep / "seed=0", sweep), pages, strict=True)
        for argument in (str(folder), "--out", str(out))
    ]
    answer = subprocess.run([sys.executable, "-c", code, *wanted], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines() == [*map(str, pages), "[]"]
    assert all(title in out.read_text(encoding="utf-8") for out, title in pages.items())
    assert not answer.stderr, "no warning about fonts or anything else"


def test_runs_are_compared_by_what_differs(sweep):
    write_report(sweep / "seed=0")
    text = write_comparison(sweep).read_text(encoding="utf-8")
    found = Page(text)
    assert {"runs", "curves", "tasks"} <= found.ids
    averages = [100 * read(sweep / f"seed={seed}" / "results.json")[-1].average for seed in (0, 1)]
    seeds = next(row for row in found.rows if "2 seeds" in row)
    assert "prompts_per_step 16" in " ".join(seeds.split())
    assert f"{statistics.fmean(averages):.1f} ± {statistics.stdev(averages):.1f}" in seeds
    assert any("prompts_per_step 8" in " ".join(row.split()) for row in found.rows)
    links = [value for name, value in found.attributes if name == "href" and value.endswith("report.html")]
    assert links == ["seed%3D0/report.html"], "of the runs that have a page"
    assert 'aria-label="Accuracy"' in text and 'aria-label="charge"' in text
    groups = variants([read_run(path) for path in sorted(sweep.iterdir()) if path.is_dir()])
    assert [(one.label, len(one.runs)) for one in groups] == [("prompts_per_step 8", 1), ("prompts_per_step 16", 2)]


def test_seeds_that_are_pooled_have_no_label_of_one_of_them(sweep):
    first, second = (read_run(sweep / f"seed={seed}") for seed in (0, 1))
    many = {f"key{n}": "1" for n in range(IN_LABEL + 1)}
    assert Variant([first, second], {}, "k").label == "2 seeds"
    assert Variant([first, second], many, "k").label == "seed=0 and 1 further seeds"
    assert Variant([first], {}, "k").label == Variant([first], many, "k").label == "seed=0"


def test_curricula_with_other_stages_differ_only_by_their_stages(sweep, tmp_path):
    for name in ("first", "second"):
        shutil.copytree(sweep / "seed=0", tmp_path / name)
    path = tmp_path / "second" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["config"]["curriculum"]["stages"][3]
    path.write_text(json.dumps(manifest))
    groups = variants([read_run(tmp_path / "first"), read_run(tmp_path / "second")])
    assert [one.settings for one in groups] == [
        {"curriculum.stages": "ppl → mid → sft → look → grpo → later → again → test"},
        {"curriculum.stages": "ppl → mid → sft → grpo → later → again → test"},
    ]
    assert flatten({"a": {"b": 1}, "c": []}) == {"a.b": "1", "c": "[]"}


def test_a_part_that_some_runs_lack_is_one_difference():
    def reward(**parts):
        return flatten({"reward": {"parts": {"accuracy": {"weight": 1.0}, **parts}, "workers": 1}})

    without, half, whole = reward(), reward(law={"weight": 0.5, "clip": []}), reward(law={"weight": 1.0, "clip": []})
    common = {"reward.parts.accuracy.weight": "1.0", "reward.workers": "1"}
    assert with_whole_parts([without, half]) == [
        common | {"reward.parts.law": "no"}, common | {"reward.parts.law": "yes"},
    ]  # fmt: skip
    three = with_whole_parts([without, half, whole])
    assert [one.get("reward.parts.law.weight") for one in three] == [None, "0.5", "1.0"]
    assert [one["reward.parts.law"] for one in three] == ["no", "yes", "yes"]


def test_the_gain_at_the_top_compares_like_with_like(sweep):
    def result(stage, split, correct, task="age"):
        return EvalResult(stage, stage, split, {task: {"correct": correct, "n": 20.0, "format": 1.0}}, {task: 0.2})

    found = [result("a", "dev", 2.0), result("b", "test", 20.0, "charge"), result("c", "test", 8.0)]
    run = read_run(sweep / "seed=0")
    assert not any("points" in one["value"] for one in headline(replace(run, results=found)))
    gain = headline(replace(run, results=[*found, result("d", "test", 12.0)]))[1]
    assert gain == {
        "label": "since the first evaluation on test (after c)", "value": "+20.0 points", "note": "from 40.0 %",
    }  # fmt: skip
    first, last = (EvalResult(a, a, "s", {}, {}) for a in "ab")
    for one, shares in ((first, (4.0, 9.0)), (last, (12.0, 7.0))):
        one.per_task.update({t: {"correct": c, "n": 20.0, "format": 1.0} for t, c in zip("xy", shares, strict=True)})
    gain = headline(replace(run, results=[first, last]))[1]
    assert (gain["value"], gain["note"]) == ("+15.0 points", "from 32.5 % · y -10.0"), "a rise does not hide a fall"


def test_the_interval_of_an_average_by_hand():
    """With one task it is that task's; with two equal ones its half-widths shrink by the square root of two."""
    task = {"correct": 8.0, "n": 20.0, "format": 1.0}
    low, high = wilson(8, 20)
    one = EvalResult("test", "grpo", "test", {"a": task}, {})
    assert one.interval == pytest.approx((low, high))
    two = EvalResult("test", "grpo", "test", {"a": task, "b": task}, {})
    assert two.interval == pytest.approx((0.4 - (0.4 - low) / 2**0.5, 0.4 + (high - 0.4) / 2**0.5))


def test_a_job_ends_with_its_report_and_never_by_it(sweep, tmp_path, capsys):
    from rl.job import _report

    shutil.copytree(sweep, tmp_path / "sweep")
    (tmp_path / "sweep" / "multirun.yaml").write_text("hydra: {}\n")
    _report(tmp_path / "sweep" / "seed=1")
    assert (tmp_path / "sweep" / "seed=1" / "report.html").is_file()
    assert (tmp_path / "sweep" / "compare.html").is_file()
    (tmp_path / "sweep" / "seed=1" / "results.json").write_text("{")
    _report(tmp_path / "sweep" / "seed=1")
    _report(tmp_path)
    printed = capsys.readouterr().out
    assert "seed=1/report.html" in printed and "compare.html" in printed and "no report: UserError" in printed


def test_figures_are_readable():
    assert [duration(s) for s in (0.25, 42, 90, 3700)] == ["0.2 s", "42 s", "1 min 30 s", "1 h 1 min"]
    assert [count(n) for n in (12, 1500, 2_500_000, 3e9)] == ["12", "1.5 k", "2.5 M", "3.0 G"]


# --- in a browser -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """Runs headless Chromium; returns what it printed and what pages wrote to its console."""
    profile = tmp_path_factory.mktemp("profile")
    command = [browser(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr"]

    def run(*arguments):
        answer = subprocess.run(
            [*command, f"--user-data-dir={profile}", *arguments], capture_output=True, text=True, timeout=300
        )
        assert answer.returncode == 0, answer.stderr[-2000:]
        return answer.stdout, [line for line in answer.stderr.splitlines() if "CONSOLE" in line]

    return run


def test_a_browser_shows_the_pages_without_complaint(browse, sweep, page, tmp_path):
    comparison = write_comparison(sweep)
    for path, sections in ((sweep / "seed=0" / "report.html", SECTIONS), (comparison, ("runs", "curves", "tasks"))):
        dom, console = browse("--dump-dom", path.resolve().as_uri())
        assert not console, console
        assert set(sections) <= Page(dom).ids and "<title>taken" not in dom
    bad = tmp_path / "bad.html"
    bad.write_text(page.replace("</body>", "<script>document.title = 'taken'</script></body>"), encoding="utf-8")
    dom, console = browse("--dump-dom", bad.as_uri())
    assert console and "<title>taken" not in dom, "the page's own policy lets no script run, and the console reports it"


def test_chinese_is_drawn_as_chinese(browse, page, tmp_path):
    """Different characters look different, and unlike the box of a character that no font has; in charts too."""
    needs_chinese_font()
    from PIL import Image, ImageChops

    head = page[: page.index("<body>")]
    characters = ("盗", "窃", "\ue123")
    cells = [
        f'<div class="text" lang="zh-Hans" style="position: fixed; left: {100 * i}px; top: 0; margin: 0; padding: 0; '
        f'width: 90px; height: 90px; font-size: 60px; line-height: 90px">{character}</div>'
        for i, character in enumerate(characters)
    ]
    texts = [f'<text x="{100 * i + 10}" y="70" font-size="60">{char}</text>' for i, char in enumerate(characters)]
    chart = (
        '<figure style="position: fixed; left: 0; top: 100px; width: 300px">'
        f'<svg viewBox="0 0 300 100">{"".join(texts)}</svg></figure>'
    )
    (tmp_path / "glyphs.html").write_text(f"{head}<body>{''.join(cells)}{chart}</body></html>", encoding="utf-8")
    shot = tmp_path / "glyphs.png"
    browse("--window-size=300,200", f"--screenshot={shot}", (tmp_path / "glyphs.html").as_uri())
    picture = Image.open(shot).convert("L")
    for top in (0, 100):
        boxes = [picture.crop((100 * i, top, 100 * i + 90, top + 90)) for i in range(3)]
        ink = [sum(1 for value in box.getdata() if value < 128) for box in boxes[:2]]
        assert min(ink) > 300, "both are drawn"
        for left, right in ((0, 1), (0, 2), (1, 2)):
            difference = ImageChops.difference(boxes[left], boxes[right])
            assert sum(value > 100 for value in difference.getdata()) > 300, "they look different"
