"""The pages in Chinese: the catalogue has every text, and nothing of a page stands outside of it."""

import copy
import pickle
import re
from html.parser import HTMLParser
from string import Formatter

import pytest
from markupsafe import Markup

from rl.errors import UserError
from rl.evaluation import report_command
from rl.evaluation.web import app, review, side_by_side, single_answers
from rl.evaluation.web.jobs import Jobs
from rl.evaluation.web.markup import errors_shown, notice
from rl.evaluation.web.page_settings import PageSettings
from rl.evaluation.web.pairs import pairs
from rl.evaluation.web.run_folders import answered, read_run
from rl.evaluation.web.votes import Vote, Votes
from rl.language import Text, chinese, code, listed, say
from rl.report.comparison import write_comparison
from rl.report.page import write_report
from rl.synthesis.card_words import REASONS, said_reason, shown
from tests.conftest import ROOT
from tests.rl.evaluation.scripted_evaluations import evaluation
from tests.rl.language.sources import TEMPLATES, bare, in_catalogues, in_code, in_templates, reasons
from tests.rl.report.folders import run_folder
from tests.rl.synthesis import runs as syntheses
from tools.scripted_server import Server
from tools.scripted_teacher import reply

SAID = [*in_code(), *in_templates(), *in_catalogues()]
OWN = {"Themis", "driver", "pid", "sha", "python", "tools", "rollouts", "KL", "LoRA", "p", "A", "B", "m"}
"""Words of a page that are no words of a language, and names of its macros."""


def test_the_catalogue_has_every_text_and_no_other():
    missing = [f"{place}: {text}" for place, text in SAID if text not in chinese()]
    assert not missing, "add them to rl/language/chinese.yaml"
    assert not chinese().keys() - {text for _, text in SAID}, "nothing says these"
    lines = (ROOT / "rl" / "language" / "chinese.yaml").read_text(encoding="utf-8").splitlines()
    assert sum(line.startswith('  "') for line in lines) == len(chinese()), "a text stands there once"


def test_both_languages_take_the_same_values():
    for text, said in chinese().items():
        names = [{name for _, name, _, _ in Formatter().parse(one) if name} for one in (text, said)]
        assert names[0] == names[1] and said.strip(), text
        assert re.search(r"[一-鿿]", said) or not re.search(r"[A-Za-z]{3,} [a-z]{3,}", text), text


def test_templates_say_nothing_by_themselves():
    for file in TEMPLATES:
        words = re.findall(r"[A-Za-z]+", re.sub(r"<[^<>]*>|&\w+;", " ", bare(file)))
        assert not set(words) - OWN, file.name
    assert len(TEMPLATES) >= 16


def test_a_text_is_english_and_can_be_said_in_chinese():
    what = Text("In {span} {share} of the groups had one reward for all completions and so no advantage",
                span=Text("the last {n} steps", n=3), share="50 %")  # fmt: skip
    whole = Text("{what}.", what=what)
    assert whole == "In the last 3 steps 50 % of the groups had one reward for all completions and so no advantage."
    assert say("en", whole) == whole
    assert say("zh", whole) == "最后 3 步中 50 % 的组所有回答奖励相同，因此没有优势。"
    assert say("zh", listed([Text("done"), "盗窃{x}", Text("skipped")])) == "完成, 盗窃{x}, 已跳过"
    assert say("zh", "a task's {name}") == "a task's {name}" and say("zh", "score") == "得分"
    for again in (copy.deepcopy(whole), pickle.loads(pickle.dumps(whole))):
        assert say("zh", again) == say("zh", whole)
    said = say("zh", "Made by {command}. The page asks nothing of any network.", command=code("<b>"))
    assert isinstance(said, Markup) and said == "由 <code>&lt;b&gt;</code> 生成。本页不访问任何网络。"


class Visible(HTMLParser):
    """Texts and tooltips of a page, without those of code and of answers."""

    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        silent = tag in ("style", "script", "code", "pre", "title") or (
            given.get("lang") == "zh-Hans" and tag != "html"
        )
        if tag not in ("meta", "link", "br", "path", "use", "img"):
            self.open.append((tag, silent))
        self.found += [given[name] for name in ("title", "aria-label") if given.get(name)]

    def handle_endtag(self, tag):
        while self.open and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        if data.strip() and not any(silent for _, silent in self.open):
            self.found.append(" ".join(data.split()))


def english(page):
    """Texts of a page that hold a phrase of English: two small words in a row."""
    return [text for text in Visible(page).found if re.search(r"\b[a-z]{2,} [a-z]{2,}\b", text)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs with every kind of stage."""
    folder = tmp_path_factory.mktemp("sweep")
    for seed in (0, 1):
        run_folder(folder / f"seed={seed}", seed=seed)
    return folder


def test_a_report_in_chinese_has_no_english(runs):
    page = write_report(runs / "seed=0", lang="zh").read_text(encoding="utf-8")
    own = (
        "the driver started it again",
        "evaluation look",
        "held-out loss 2",
        "legal rule",
        "multi-hop reasoning",
    )  # what the run's files say
    left = [text for text in english(page) if not any(part in text for part in own)]
    assert not left
    for text in ('<html lang="zh-Hans">', "奖励为什么不涨？", "奖励上升：前", "等待回答", "答案与参考答案一致为 1",
                 "第 15 步的权重", "近似重复", 'aria-label="奖励"', "正确率"):  # fmt: skip
        assert text in page, text
    assert len(english(write_report(runs / "seed=0").read_text(encoding="utf-8"))) > 30, "the check finds English"


def test_a_data_card_in_chinese_has_no_english(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "empty.txt").touch()
    (tmp_path / "in" / "theft.txt").write_bytes((syntheses.JUDGMENTS / "theft.txt").read_bytes())
    with Server(lambda body: reply(body, [("poor", "盗窃")])) as server:
        syntheses.run(tmp_path / "run", server.url, tmp_path / "in", "lang=zh", questions=2)
        own = ("empty.txt is empty", "论证完整")  # what programs and the teacher say
        for name in ("card.html", "card.md"):
            page = (tmp_path / "run" / name).read_text(encoding="utf-8")
            assert not [text for text in english(page) if not any(part in text for part in own)]
            assert all(text in page for text in ("数据卡片：lead", "失败：无法读取", "剔除：前后一致低于 7 分"))
        syntheses.run(tmp_path / "run", server.url, tmp_path / "in", questions=2)
        assert "Data card: lead" in (tmp_path / "run" / "card.html").read_text(encoding="utf-8"), "a resume changes it"


def test_every_reason_of_a_step_is_known():
    parts = [part.strip(" ,") for part in reasons()]
    assert len(parts) > 30 and not [part for part in parts if not any(part in reason for reason in REASONS)]
    assert said_reason("zh", "test question of jecqa, lawbench") == "含有 jecqa, lawbench 的测试题"
    assert said_reason("zh", "rules not met") == "规则不合格" and said_reason("en", "rules not met") == "rules not met"
    assert said_reason("zh", "whatever: it is") == "whatever: it is"
    assert shown("zh", "judge", "value", "perspective") == "法官" and shown("zh", "judge", "source") == "judge"
    assert shown("zh", None, "cost") == "" and shown("en", "matched", "outcome") == "matched"


def test_a_comparison_in_chinese_has_no_english(runs):
    page = write_comparison(runs, lang="zh").read_text(encoding="utf-8")
    assert not english(page) and "只有随机种子不同的运行放在一起" in page


@pytest.fixture(scope="module")
def evaluations(tmp_path_factory):
    """Two evaluations under names that lawyers give."""
    folder = tmp_path_factory.mktemp("evaluations")
    evaluation(folder / "监督微调 第二版", "qwen-sft", lambda n: n % 2 == 0)
    evaluation(folder / "强化学习", "qwen-grpo", lambda n: n % 3 != 0)
    return folder


def test_a_page_of_evaluations_in_chinese_has_no_english(evaluations, tmp_path):
    folders = sorted(evaluations.iterdir())
    own = ("Held-out questions of Themis", "answer kind ")  # names of the benchmark
    page = report_command.write(folders, tmp_path / "page.html", "zh").read_text(encoding="utf-8")
    assert not [text for text in english(page) if not any(name in text for name in own)]
    assert "answer&gt;" not in page and "修正指标的已知缺陷后" in page and "监督微调 第二版" in page


def test_the_web_page_in_chinese_has_no_english(evaluations):
    settings = PageSettings(evaluations, lang="zh")
    names = ("监督微调 第二版", "强化学习")
    both = [read_run(evaluations, name) for name in names]
    votes = Votes(evaluations / "v.sqlite")
    found = pairs(*both, "王 律师")
    for pair in found[:2]:
        votes.add(Vote(pair.first, pair.second, *pair.key, "王 律师", "tie"))
    assert review.next_pair(settings, votes, *names, "王 律师")[1] == 2
    shown = [
        review.shown(found[2], 2, "zh"), review.shown(None, 6, "zh"), review.win_table(votes, "zh"),
        single_answers.page(answered(both[0], "age"), 1, "zh"), side_by_side.side_by_side(both, "zh"),
        side_by_side.paired(*both, "zh"),
    ]  # fmt: skip
    for page in shown:
        assert not english(page) and re.search("[一-鿿]", page)
    assert "第 3 对" in shown[0] and "您已评审 2 对" in shown[0] and "没有这部法律" in shown[0] + shown[3]
    assert "王 律师 2" in shown[2] and "监督微调 第二版" in shown[2]


def test_every_field_of_the_web_page_is_in_chinese(evaluations):
    settings = PageSettings(evaluations, lang="zh")
    config = app.blocks(settings, Jobs(evaluations)).get_config_file()
    texts = []
    for component in config["components"]:
        props = component["props"]
        texts += [props[name] for name in ("label", "title") if isinstance(props.get(name), str)]
        texts += [props["value"]] if component["type"] in ("button", "markdown") else []
        texts += [one[0] for one in props.get("choices") or () if one[0] != one[1]]
    assert len(texts) > 40 and config["title"] == "Themis：评测"
    inner = {"HTML", "State", "Timer", "Top p"}  # labels that gradio gives and never shows, and a name
    assert not [text for text in texts if text not in inner and not re.search("[一-鿿]", text)]


def test_errors_are_said_in_the_language_of_the_page():
    @errors_shown(lambda sentence: sentence, "zh")
    def choose():
        raise UserError(Text("Choose two different runs"))

    @errors_shown(lambda sentence: sentence, "zh")
    def fail():
        raise RuntimeError

    assert "请选两个不同的评测" in choose() and "操作失败：RuntimeError" in fail()
    assert notice(Text("(none)"), lang="en").count("(none)") == 1
