"""The web page of evaluations: its functions, and a browser that uses it."""

import itertools
import json
import shutil
import sys
import threading
import time

import pytest

from rewards.judge.options import KEY_ENV as JUDGE_KEY_ENV
from rl.errors import UserError
from rl.evaluate import main
from rl.evaluation.reading import Readable, readable
from rl.evaluation.web import cited, evaluations, review, side_by_side, single_answers
from rl.evaluation.web.jobs import Jobs, tail
from rl.evaluation.web.page_settings import PageSettings
from rl.evaluation.web.pairs import pairs
from rl.evaluation.web.run_folders import answered, find_runs, read_run
from rl.evaluation.web.votes import Vote, Votes
from rl.inference.backend import KEY_ENV
from tests.rl.browser import chromium, needs_chinese_font
from tests.rl.evaluation.scripted_evaluations import HOSTILE
from tests.rl.server import Server

NUMBERS = {"shots": 0, "limit": 2, "temperature": 0, "top_p": 1, "max_tokens": 64, "samples": 1, "seed": 0}
SERVED = {
    "benchmark": "held_out", "tasks": ["age"], "backend": "server", "model": "", "server": "http://127.0.0.1:9/v1",
    "served": "m", "numbers": NUMBERS,
}  # fmt: skip


def test_a_review_is_blind_and_goes_on_where_it_was_left(settings, tmp_path):
    both = [read_run(settings.runs, name) for name in ("sft", "grpo")]
    found = pairs(*both, "王")
    assert (len(found), found[0].identical) == (6, 6), "both are right, or both say 不明"
    assert (found[0].first, found[0].second) == ("grpo", "sft")
    assert found == pairs(*reversed(both), "王"), "the order of the runs changes nothing"
    swapped = [pair.swapped for pair in found]
    assert {True, False} == set(swapped) and swapped != [pair.swapped for pair in pairs(*both, "李")]
    for pair in found:
        assert not [name for name in ("sft", "grpo") if name in review.shown(pair)]
        assert pair.sides[pair.swapped] is pair.question
    votes = Votes(tmp_path / "v.sqlite")
    for pair in found[:2]:
        votes.add(Vote(pair.first, pair.second, *pair.key, "王", "tie"))
    following, done = review.next_pair(settings, votes, "sft", "grpo", "王")
    assert (following.place, done) == (3, 2)
    assert review.next_pair(settings, votes, "sft", "grpo", "李")[0].place == 1
    for pair in found[2:]:
        votes.add(Vote(pair.first, pair.second, *pair.key, "王", "bad"))
    assert review.next_pair(settings, votes, "sft", "grpo", "王") == (None, 6) and "thank you" in review.shown(None)
    with pytest.raises(UserError, match="two different runs"):
        review.next_pair(settings, votes, "sft", "sft", "王")


def test_lawyers_read_answers_without_tags_and_beside_the_statutes(settings):
    pair = next(one for one in pairs(*(read_run(settings.runs, name) for name in ("sft", "grpo")), "王")
                if one.question.answers[0]["thinking"])  # fmt: skip
    page = review.shown(pair, 2)
    assert "answer&gt;" not in page and "think&gt;" not in page and "&lt;script&gt;" in page
    assert "盗窃公私财物" in page and "this article does not exist" in page and "this law does not exist" in page
    assert "Pair" in page and "you have voted on 2" in page and "6 questions are left out" in page
    raw = {"text": "<think>甲</think>\n因此<answer>乙</answer><|im_end|>", "thinking": ""}
    assert readable(raw) == Readable("甲", "因此\n乙") and readable({}) == Readable("", "")
    assert readable({"text": "丙", "thinking": "丁</think>"}) == Readable("丁", "丙")


def test_runs_whose_answers_read_the_same_have_nothing_to_review(settings, tmp_path):
    for name in ("甲", "乙 二"):
        shutil.copytree(settings.runs / "sft", tmp_path / name)
    with pytest.raises(UserError, match="乙 二 and 甲 read the same: there is nothing to review"):
        pairs(*(read_run(tmp_path, name) for name in ("甲", "乙 二")), "王")


def test_a_ballot_means_the_run_that_was_shown():
    meant = [review.choice_of(ballot, swapped) for swapped in (False, True) for ballot in review.BALLOT]
    assert meant == ["first", "second", "tie", "bad", "second", "first", "tie", "bad"]
    with pytest.raises(UserError, match="no vote is chosen"):
        review.choice_of(None, False)


def test_runs_are_found_and_nothing_beyond_them(settings, tmp_path):
    assert [run.name for run in find_runs(settings.runs)] == ["grpo", "sft"]
    for name in ("../elsewhere", "/etc", "", "none"):
        with pytest.raises(UserError, match="is not below"):
            read_run(settings.runs, name)
    with pytest.raises(UserError, match="has no task \\.\\./x"):
        answered(read_run(settings.runs, "sft"), "../x")
    answers = tmp_path / "r" / "answers" / "age.jsonl"
    answers.parent.mkdir(parents=True)
    (tmp_path / "r" / "manifest.json").write_text('{"benchmark": "held_out", "model": "m"}')
    answers.write_text('{"key": "age/1", "prompt": "p", "answers": []}\n{"key": ')
    assert [one.id for one in answered(read_run(tmp_path, "r"), "age")] == ["1"], "half a line is being written"
    assert not answers.read_text().endswith("\n"), "and is left alone"


def test_runs_side_by_side_and_tested(settings):
    runs = [read_run(settings.runs, name) for name in ("sft", "grpo")]
    table = side_by_side.side_by_side(runs)
    assert "qwen-sft" in table and "50.0\n<small>" in table and "66.7\n<small>" in table
    runs[0].scores["tasks"]["age"]["contaminated"] = "JEC-QA"
    runs[0].scores["tasks"]["age"]["judge"] = {"score": 0.712, "errored": 2}
    table = side_by_side.side_by_side(runs)
    assert "contamination: contains JEC-QA" in table and "judge 71.2" in table and "2 verdicts errored" in table
    tested = side_by_side.paired(*runs)
    assert "-16.7" in tested and "mcnemar" in tested
    assert side_by_side.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert side_by_side.holm([0.5, 0.9]) == [1.0, 1.0]


def test_answers_are_filtered_escaped_and_their_citations_checked(settings):
    found = answered(read_run(settings.runs, "sft"), "age")
    assert [single_answers.fits(one, "right", "") for one in found] == [True, False] * 3
    assert [single_answers.fits(one, "cut off", "") for one in found] == [False, False, False, True, False, False]
    assert [single_answers.fits(one, "all", "第二百六十四条") for one in found] == [True, False] * 3
    statutes = cited.citations(found[0])
    assert [one["fault"] for one in statutes] == [
        "",
        cited.FAULTS["unknown article"],
        cited.FAULTS["unknown law"],
    ]
    assert statutes[0]["name"] == "中华人民共和国刑法 第二百六十四条" and statutes[0]["text"].startswith("盗窃公私财物")
    page = single_answers.page(found, 1)
    assert HOSTILE not in page and "<script" not in page and "<img" not in page and "&lt;script&gt;" in page
    with pytest.raises(UserError, match="no page 2"):
        single_answers.page(found, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"benchmark": "../x.yaml"}, "no benchmark"),
        ({"tasks": ["agee"]}, "has no task agee"),
        ({"tasks": ["--model=/etc"]}, "has no task --model"),
        ({"backend": "shell"}, "no backend shell"),
        ({"server": "file:///etc/passwd"}, "not the address of a server"),
        ({"server": "http://user:secret@host/"}, "not the address of a server"),
        ({"served": " "}, "needs the name of the model"),
        ({"backend": "vllm", "model": "../elsewhere"}, "is not below"),
        ({"backend": "vllm", "model": ""}, "the model \\(none\\)"),
        ({"numbers": NUMBERS | {"max_tokens": 0}}, "max tokens must be a number from 1"),
        ({"numbers": NUMBERS | {"limit": None}}, "limit must be a number"),
        ({"numbers": NUMBERS | {"seed": 0.5}}, "seed must be a whole number"),
        ({"numbers": NUMBERS | {"samples": 4}}, "raise the temperature"),
        ({"judge": "http://127.0.0.1:9/v1", "judge_model": "m"}, "none of these tasks is marked by a judge"),
        ({"benchmark": "lexeval", "tasks": ["5_1"], "judge_model": "m"}, "\\(none\\) is not the address of a server"),
        ({"benchmark": "lexeval", "tasks": ["5_1"], "judge": "http://127.0.0.1:9/v1"}, "into the field Judge model"),
    ],
)
def test_what_makes_no_sense_is_a_sentence_before_anything_starts(settings, change, message):
    with pytest.raises(UserError, match=message):
        evaluations.options_of(settings, **(SERVED | change))


def test_options_are_those_of_the_command(settings, monkeypatch):
    from tools.commands import parser_of

    parser = parser_of("rl.evaluate run")

    assert evaluations.models_in(settings) == ["deep/large", "small"]
    options, total = evaluations.options_of(settings, **SERVED)
    chosen = parser.parse_args([*options, "--out=x"])
    assert (chosen.server, chosen.served_model, chosen.limit, chosen.tasks, total) == (
        SERVED["server"], "m", 2, ["age"], 2,
    )  # fmt: skip
    options, _ = evaluations.options_of(settings, **(SERVED | {"backend": "transformers", "model": "small"}))
    assert parser.parse_args([*options, "--out=x"]).model == str(settings.models / "small")
    judged = {"benchmark": "lexeval", "tasks": [], "judge": "http://127.0.0.1:9/v1 ", "judge_model": "j"}
    options, _ = evaluations.options_of(settings, **(SERVED | judged))
    chosen = parser.parse_args([*options, "--out=x"])
    assert (chosen.judge, chosen.judge_model, chosen.root) == ("http://127.0.0.1:9/v1", "j", settings.root)
    monkeypatch.setenv(KEY_ENV, "secret")
    monkeypatch.setenv(JUDGE_KEY_ENV, "judge's")
    trusting = PageSettings(settings.runs, servers=("https://api.example/v1/",))
    assert KEY_ENV not in evaluations.environment_for(trusting, SERVED["server"])
    found = evaluations.environment_for(trusting, "https://api.example/v1", SERVED["server"])
    assert found[KEY_ENV] == "secret" and JUDGE_KEY_ENV not in found
    found = evaluations.environment_for(trusting, SERVED["server"], "https://api.example/v1")
    assert KEY_ENV not in found and found[JUDGE_KEY_ENV] == "judge's"


def test_an_evaluation_is_started_watched_and_stopped(tmp_path):
    code = (
        "import pathlib, sys, time\n"
        "out = pathlib.Path(sys.argv[-1].removeprefix('--out='))\n"
        "print('第一题', sys.argv[1:-1], flush=True)\n"
        "try:\n    time.sleep(600 if '--wait' in sys.argv else 0)\n"
        "except KeyboardInterrupt:\n    sys.exit(130)\n"
        "sys.exit('--fail' in sys.argv)\n"
    )
    jobs = Jobs(tmp_path, (sys.executable, "-c", code))
    job = jobs.start("long", ["--wait", "$(touch x); `ls`"], 5, {})
    end = time.monotonic() + 60
    while "第一题" not in tail(tmp_path / "long" / "log.txt") and time.monotonic() < end:
        time.sleep(0.1)
    assert "$(touch x); `ls`" in tail(tmp_path / "long" / "log.txt") and job.state == "running"
    with pytest.raises(UserError, match="long is running"):
        jobs.start("long", [], 5, {})
    jobs.stop("long")
    job.process.wait(60)
    assert job.state == "stopped"
    for name, options, state in (
        ("good", [], "finished"),
        ("poor", ["--fail"], "failed"),
        ("第二版 sft", [], "finished"),
    ):
        jobs.start(name, options, 5, {}).process.wait(60)
        assert jobs.find(name).state == state
    for name in ("../x", "", ".lock", "a/b", " a", "a ", "x" * 101, "评" * 80):
        with pytest.raises(UserError, match="not a name for a run"):
            jobs.start(name, [], 5, {})
    with pytest.raises(UserError, match="is not running here"):
        jobs.stop("good")


def test_a_missing_folder_or_a_taken_port_is_a_sentence(tmp_path, capsys):
    assert main(["serve", "--runs", str(tmp_path), "--models", str(tmp_path / "none")]) == 2
    assert "is not a folder" in capsys.readouterr().err
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", "--runs", str(tmp_path), "--port", str(taken.getsockname()[1])]) == 2
    assert "can't be listened on" in capsys.readouterr().err


@pytest.fixture(scope="module")
def tab(opened, address, tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as tab:
        tab.call("Page.navigate", url=opened)
        tab.says("#overview", "qwen-sft")
        yield tab
        beyond = [url for url in tab.requests if not url.startswith((address, "data:", "blob:", "about:"))]
        assert not beyond, "the page asks nothing of any network"
        assert tab.run("document.title") == "Themis: evaluations", "untrusted text stays text"
        assert not tab.console


@pytest.fixture
def served():
    """(server, event): a model that answers four questions, and the others once the event is set; and a judge."""
    going, answered = threading.Event(), itertools.count()

    def reply(body):
        if "摘要" in str(body) and "points" in str(body):
            parts = {"faithfulness": 10, "completeness": 10, "concision": 1}
            return json.dumps({"reason": "言简意赅", "points": 10, **parts})
        if next(answered) >= 4:
            going.wait(300)
        return "<answer>不负责任</answer>"

    with Server(reply) as server:
        yield server, going
        going.set()


def test_a_browser_starts_watches_and_stops_an_evaluation_with_a_judge(tab, settings, served):
    server, going = served
    tab.tab("Evaluations")
    tab.click("#start")
    tab.says("#evaluations-message", "is not below")
    tab.click("#backend label:nth-of-type(3) input")
    assert not tab.run("document.querySelector('#judging')?.checkVisibility() ?? false"), "no judge for these tasks"
    tab.type("#benchmark input", "lexeval")
    tab.wait("document.querySelector('#judging')?.checkVisibility()")
    assert "Judge of 5_1, 5_2, 5_3, 5_4" in tab.text("#judging")
    tab.click("#judging button")
    tab.type("#tasks input", "5_1")
    tab.type("#server input, #server textarea", "ftp://here")
    tab.type("#served input, #served textarea", "m")
    tab.click("#start")
    tab.says("#evaluations-message", "is not the address of a server")
    tab.type("#server input, #server textarea", server.url)
    tab.type("#judge input, #judge textarea", server.url)
    tab.click("#start")
    tab.says("#evaluations-message", "write it into the field Judge model")
    tab.type("#judge-model input, #judge-model textarea", "m")
    tab.type("#run-name input, #run-name textarea", "by/hand")
    tab.click("#start")
    tab.says("#evaluations-message", "by/hand is not a name for a run")
    tab.type("#run-name input, #run-name textarea", "by hand")
    tab.click("#sampling button")
    tab.type("#limit input", "6")
    tab.click("#start")
    tab.says("#evaluations-message", "by hand is started: 6 questions")
    tab.says("#watched", "4 of 6 questions answered")
    assert "running" in tab.text("#watched") and "by hand" in tab.text("#overview")
    tab.click("#stop")
    tab.says("#watched", "stopped")
    assert "the same command goes on" in tab.text("#watched") and "Traceback" not in tab.text("#watched")
    going.set()
    tab.click("#start")
    tab.says("#watched", "finished")
    assert "6 of 6 questions answered" in tab.text("#watched")
    scores = json.loads((settings.runs / "by hand" / "scores.json").read_text())
    task = scores["tasks"]["5_1"]
    assert (scores["model"], task["n"], task["answered"]) == ("m", 6, 6)
    marks = task["judge"]
    assert (marks["score"], marks["n"], marks["errored"], marks["criterion"]) == (1.0, 6, 0, "summary")
    assert server.keys == {"Bearer none"}, "keys go to servers that the command line names"
    tab.type("#benchmark input", "held_out")
    tab.wait("!document.querySelector('#judging')?.checkVisibility()")


def test_a_browser_compares_runs(tab):
    tab.tab("Compare")
    for name in ("sft", "grpo"):
        tab.type("#compare-runs input", name)
    tab.says("#compare-table", "qwen-grpo")
    assert "held_out" in tab.text("#compare-table") and "–" in tab.text("#compare-table")
    tab.click("#paired-button")
    tab.says("#paired", "Choose two different runs")
    tab.type("#paired-a input", "sft")
    tab.type("#paired-b input", "grpo")
    tab.click("#paired-button")
    tab.says("#paired", "mcnemar")


def test_a_browser_shows_answers(tab):
    tab.tab("Answers")
    tab.type("#answers-run input", "sft")
    tab.says("#answers", "12 answers fit · page 1 of 2")
    tab.click("#answers details summary")
    shown = tab.text("#answers details")
    assert HOSTILE in shown and "${document.title='taken'} {{constructor.name}}" in shown
    assert "盗窃公私财物，数额较大的" in shown and "this article does not exist" in shown
    assert "想一想" not in shown, "thinking is folded"
    tab.click("#answers .thinking summary")
    assert "想一想" in tab.text("#answers details")
    tab.type("#answers-search input, #answers-search textarea", "第九千九百条")
    tab.says("#answers", "6 answers fit")
    tab.type("#answers-outcome input", "wrong")
    tab.says("#answers", "0 answers fit")


def test_a_browser_reviews_blindly(tab, settings):
    tab.tab("Review")
    tab.type("#review-a input", "sft")
    tab.type("#review-b input", "grpo")
    tab.click("#review-start")
    tab.says("#review-message", "needs the reviewer's name")
    tab.type("#reviewer input, #reviewer textarea", "王律师")
    tab.click("#review-start")
    tab.says("#pair", "Pair 1 of 6")
    tab.click("#vote")
    tab.says("#review-message", "no vote is chosen")
    assert "sft" not in tab.text("#pair") and "grpo" not in tab.text("#pair")
    tab.click("#ballot label input")
    tab.type("#comment textarea", "理由充分")
    tab.click("#vote")
    tab.says("#pair", "Pair 2 of 6")
    (kept,) = Votes(settings.votes).all()
    first = pairs(read_run(settings.runs, "sft"), read_run(settings.runs, "grpo"), "王律师")[0]
    assert (kept.reviewer, kept.comment.strip(), kept.choice) == (
        "王律师", "理由充分", "second" if first.swapped else "first",
    )  # fmt: skip
    assert (kept.task, kept.question) == first.key
    tab.click("#wins-fold button")
    tab.click("#count")
    tab.says("#wins", "grpo against sft")


def test_chinese_is_drawn_with_glyphs(tab, tmp_path):
    needs_chinese_font()
    from PIL import Image, ImageChops

    boxes = []
    for character in ("盗", "窃", "\ue123"):
        style = "position:fixed;z-index:9;left:0;top:0;width:90px;height:90px;background:#fff;color:#000;font-size:60px"
        tab.run(
            "(d => { d.id = 'probe'; d.className = 'text'; d.lang = 'zh-Hans'; "
            f"d.style = {json.dumps(style)}; d.innerText = {json.dumps(character)}; "
            "document.getElementById('probe')?.remove(); document.querySelector('.gradio-container').append(d); })"
            "(document.createElement('div'))"
        )
        tab.shot(tmp_path / "probe.png")
        boxes.append(Image.open(tmp_path / "probe.png").convert("L").crop((0, 0, 90, 90)))
    tab.run("document.getElementById('probe').remove()")
    for left, right in ((0, 1), (0, 2), (1, 2)):
        difference = ImageChops.difference(boxes[left], boxes[right])
        assert sum(value > 100 for value in difference.getdata()) > 300, "they look different"
