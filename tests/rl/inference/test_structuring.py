"""Judgments as JSON: sections and elements of whole documents by hand, hostile text, a model's answers, the command."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.inference.__main__ import main
from rl.inference.structuring.document import structure
from rl.inference.structuring.element_schema import check_document
from rl.inference.structuring.judgment_text import aligned
from rl.inference.structuring.model_elements import complete, missing, read_answer
from tests.rl.inference import judgments
from tests.rl.scripted import Scripted
from tests.rl.server import Server

ALL = (
    judgments.CRIMINAL, judgments.CIVIL, judgments.ADMINISTRATIVE, judgments.SECOND, judgments.TRUNCATED,
    judgments.NOT_A_JUDGMENT,
)  # fmt: skip


def values(document, name):
    return [element["value"] for element in document["elements"].get(name, [])]


def section(text, document, name):
    return next(text[s["start"] : s["end"]] for s in document["sections"] if s["name"] == name)


def cited(document):
    return [(v["law"], v["article"], v["paragraph"], v["item"]) for v in values(document, "article")]


@pytest.mark.parametrize("text", ALL)
def test_sections_are_the_whole_text_and_elements_stand_where_they_say(text):
    document = structure(text)
    check_document(document)
    assert "".join(text[s["start"] : s["end"]] for s in document["sections"]) == text
    for name in ("court", "charge", "cause"):
        for element in document["elements"].get(name, []):
            assert aligned(text[element["start"] : element["end"]]) == element["value"]
    for party in document["elements"].get("party", []):
        assert aligned(text[party["start"] : party["end"]]) == party["value"]["name"]


def test_a_criminal_judgment_with_two_defendants():
    text = judgments.CRIMINAL
    document = structure(text)
    assert (document["kind"], document["instance"], document["complete"]) == ("criminal", "first", True)
    names = [s["name"] for s in document["sections"]]
    assert names == ["header", "procedure", "claims", "facts", "reasoning", "ruling", "tail"]
    assert section(text, document, "facts").startswith("经审理查明")
    assert section(text, document, "ruling").startswith("判决如下")
    assert section(text, document, "tail").startswith("如不服本判决")
    assert values(document, "court") == ["江州市东湖区人民法院"]
    assert values(document, "case_number") == ["(2021)江0102刑初315号"]
    assert [(v["role"], v["name"]) for v in values(document, "party")] == [
        ("公诉机关", "江州市东湖区人民检察院"), ("被告人", "张某甲"), ("辩护人", "王明"), ("被告人", "李某乙"),
    ]  # fmt: skip
    assert values(document, "charge") == ["盗窃", "诈骗", "掩饰、隐瞒犯罪所得"]
    assert values(document, "sentence") == [
        {"defendant": "张某甲", "charges": ["盗窃", "诈骗"], "kind": "fixed", "months": 36, "probation_months": None,
         "reprieve_months": None, "fine_yuan": 15000},
        {"defendant": "李某乙", "charges": ["掩饰、隐瞒犯罪所得"], "kind": "detention", "months": 5,
         "probation_months": 10, "reprieve_months": None, "fine_yuan": 3000},
    ]  # fmt: skip
    assert cited(document) == [
        ("刑法", "第264条", None, None), ("刑法", "第266条", None, None), ("刑法", "第312条", 1, None),
        ("刑法", "第65条", 1, None), ("刑法", "第67条", 1, None), ("刑法", "第67条", 3, None),
        ("刑法", "第69条", None, None), ("刑法", "第72条", 1, None), ("刑事诉讼法", "第15条", None, None),
    ]  # fmt: skip
    found = {(v["kind"], *v["defendants"], v["present"]) for v in values(document, "circumstance")}
    assert found == {
        ("recidivism", "张某甲", True), ("confession", "张某甲", True), ("accessory", "张某甲", False),
        ("surrender", "李某乙", True), ("confession", "李某乙", True), ("compensation", "李某乙", True),
        ("forgiveness", "李某乙", True), ("plea", "李某乙", True),
    }  # fmt: skip
    restitution = {"payers": ["张某甲"], "payees": [], "yuan": 50000, "about": False}
    assert values(document, "payment") == [restitution]
    assert [v["name"] for v in values(document, "judge")] == ["周国强", "吴小梅", "郑文", "孙丽"]
    assert values(document, "judgment_date") == ["2021-07-19"]
    assert "1988-03-05" in values(document, "date")


def test_a_civil_judgment_on_a_contract():
    document = structure(judgments.CIVIL)
    seller, buyer = "海川宏远(集团)建材有限公司", "北山市恒泰建筑工程有限公司"
    assert (document["kind"], document["instance"], document["complete"]) == ("civil", "first", True)
    assert values(document, "cause") == ["买卖合同纠纷"]
    assert [(v["role"], v["name"]) for v in values(document, "party") if v["role"] in ("原告", "被告")] == [
        ("原告", seller), ("被告", buyer), ("被告", "何伟"),
    ]  # fmt: skip
    assert values(document, "claim") == [{"yuan": 286500, "about": False}, {"yuan": 30000, "about": True}]
    assert values(document, "payment") == [
        {"payers": [buyer], "payees": [seller], "yuan": 286500, "about": False},
        {"payers": [buyer], "payees": [seller], "yuan": 20000, "about": False},
    ]
    assert values(document, "court_fee") == [{"yuan": 3025, "about": False}]  # halved
    assert values(document, "outcome") == ["partly_granted"]
    assert ("民事诉讼法", "第264条", None, None) not in cited(document)  # the rule on late payment is not a ground
    assert cited(document)[0] == ("民法典", "第509条", 1, None)
    assert values(document, "judgment_date") == ["2022-05-20"]
    assert "sentence" not in document["elements"]


def test_an_administrative_judgment_and_one_of_second_instance():
    document = structure(judgments.ADMINISTRATIVE)
    assert (document["kind"], values(document, "outcome")) == ("administrative", ["granted"])
    assert cited(document) == [("行政诉讼法", "第70条", None, 3)]
    assert values(document, "cause") == ["行政处罚"]
    document = structure(judgments.SECOND)
    assert (document["kind"], document["instance"]) == ("civil", "second")
    assert values(document, "outcome") == ["affirmed"]
    assert section(judgments.SECOND, document, "prior").startswith("曹某向一审法院起诉请求")
    assert cited(document) == [("民事诉讼法", "第177条", 1, 1)]  # not the article of the lower court
    assert "payment" not in document["elements"]
    assert [v["formerly"] for v in values(document, "party")] == ["原审被告", "原审原告"]


def test_what_is_cut_off_and_what_is_no_judgment():
    document = structure(judgments.TRUNCATED)
    assert document["judgment"] and not document["complete"]
    assert document["sections"][-1]["name"] == "reasoning"
    assert values(document, "charge") == ["盗窃", "诈骗", "掩饰、隐瞒犯罪所得"]  # of the reasoning
    assert "sentence" not in document["elements"] and "judge" not in document["elements"]
    below = judgments.SECOND[: judgments.SECOND.index("本院二审查明")]
    assert "outcome" not in structure(below)["elements"]  # the ruling of the lower court is not this court's
    document = structure(judgments.NOT_A_JUDGMENT)
    assert (document["kind"], document["judgment"], document["elements"]) == ("other", False, {})


@pytest.mark.parametrize(
    ("clause", "kind", "months", "probation", "reprieve", "fine"),
    [
        ("犯故意杀人罪，判处死刑，缓期二年执行，剥夺政治权利终身", "death", None, None, 24, None),
        ("犯贩卖毒品罪，判处无期徒刑，并处没收个人全部财产", "life", None, None, None, None),
        ("犯危险驾驶罪，判处拘役一个月十五日，并处罚金人民币贰仟元", "detention", 1.5, None, None, 2000),
        ("犯交通肇事罪，判处有期徒刑三年，缓刑四年", "fixed", 36, 48, None, None),
        ("犯滥伐林木罪，免予刑事处罚", "exempt", None, None, None, None),
        ("犯单位行贿罪，判处罚金人民币50万元", "fine_only", None, None, None, 500000),
        ("无罪", "acquitted", None, None, None, None),
    ],
)
def test_punishments_in_months_and_yuan(clause, kind, months, probation, reprieve, fine):
    ruling = f"一、被告人孙某{clause}。"
    text = judgments.CRIMINAL[: judgments.CRIMINAL.index("一、被告人")] + ruling + "\n审判长 周国强\n"
    (found,) = values(structure(text), "sentence")
    names = ("kind", "months", "probation_months", "reprieve_months", "fine_yuan")
    assert tuple(found[name] for name in names) == (kind, months, probation, reprieve, fine)
    assert found["defendant"] == "孙某"


PIECES = (
    "被告人", "张某", "犯", "盗窃罪", "判处", "有期徒刑", "三年", "，", "。", "\n", "本院认为", "判决如下：", "一、",
    "（2021）", "刑初", "1号", "民事判决书", "原告", "《刑法》", "第六十七条", "第一款", "、第三款", "支付", "5万元",
    "审判长", "二〇二一年三月五日", "一案", "纠纷",
    "①", "㎡", "…", "\u0301", "\r", "\x00", "ﬁ", "○", "本院二审查明", "决定执行",
)  # fmt: skip


@settings(max_examples=150)
@given(st.one_of(st.text(max_size=300), st.lists(st.sampled_from(PIECES), max_size=60).map("".join)))
def test_no_text_crashes_it_and_places_stay_in_bounds(text):
    assert len(aligned(text)) == len(text)
    document = structure(text)
    check_document(document)
    assert "".join(text[s["start"] : s["end"]] for s in document["sections"]) == text


@pytest.mark.parametrize("unit", [" ", "\n", "被告人张某犯", "一、支付5万元，", "判决如下：", "审判长 "])
def test_long_hostile_text_is_read_in_time_that_grows_with_its_length(unit):
    text = judgments.CRIMINAL + "本院认为，" + unit * (100_000 // len(unit))  # hours, were a pattern quadratic in it
    check_document(structure(text))


def test_a_model_is_asked_for_what_rules_missed_and_held_to_the_text():
    text = judgments.TRUNCATED + "。综上，对张某甲判三年，罚一万五。"
    document = structure(text)
    assert "sentence" in missing(document) and "charge" not in missing(document)
    sentence = {"defendant": "张某甲", "charges": [], "kind": "fixed", "months": 36, "probation_months": None,
                "reprieve_months": None, "fine_yuan": 15000}  # fmt: skip
    answer = {
        "sentence": [
            {"value": sentence, "quote": "对张某甲判三年，罚一万五"},
            {"value": {**sentence, "months": "三年"}, "quote": "对张某甲判三年"},
            {"value": sentence, "quote": "判处有期徒刑三年整"},
        ],
        "charge": [{"value": "抢劫", "quote": "盗窃"}],
    }
    backend = Scripted(lambda ask: "```json\n" + json.dumps(answer, ensure_ascii=False) + "\n```")
    told = {}

    def done(name, document, faults):
        told[name] = document, faults

    complete({"a": text}, {"a": document}, backend, 100_000, done)
    found, faults = told.pop("a")
    check_document(found)
    (kept,) = found["elements"]["sentence"]
    assert kept["origin"] == "model" and kept["value"] == sentence
    assert text[kept["start"] : kept["end"]] == "对张某甲判三年，罚一万五"
    assert len(faults) == 3 and any("is not in the text" in fault for fault in faults)
    assert values(found, "charge") == values(document, "charge")
    assert "sentence" not in document["elements"]  # the given document does not change
    complete({"b": text}, {"b": document}, backend, 10, done)
    assert told["b"][0] == document and "was not asked" in told["b"][1][0] and len(backend.asked) == 1
    assert read_answer("no", text, ("sentence",)) == ([], ["the answer holds no JSON object"])


def test_the_command_goes_on_after_errors_and_where_it_stopped(tmp_path, capsys):
    folder, out = tmp_path / "docs", tmp_path / "out.jsonl"
    folder.mkdir()
    (folder / "a.txt").write_text(judgments.CRIMINAL, encoding="utf-8-sig")
    (folder / "b.txt").write_bytes(judgments.CIVIL.replace("\n", "\r\n").encode("gb18030"))
    (folder / "c.txt").write_bytes(b"\x89PNG\x00\xff\xff")
    assert main(["structure", str(folder), "--out", str(out)]) == 1
    assert "c.txt" in capsys.readouterr().err
    first, second, third = (json.loads(line) for line in out.read_text(encoding="utf-8").splitlines())
    assert first["document"] == structure(judgments.CRIMINAL) and second["document"] == structure(judgments.CIVIL)
    assert "error" in third
    kept = out.read_text(encoding="utf-8").splitlines()[0]
    out.write_text(kept + "\n" + '{"file": "cut sho', encoding="utf-8")  # the state after a crash
    (folder / "c.txt").write_text(judgments.SECOND, encoding="utf-8")
    assert main(["structure", str(folder), "--out", str(out)]) == 0
    lines = out.read_text(encoding="utf-8").splitlines()
    assert lines[0] == kept and [json.loads(line)["file"][-5:] for line in lines] == ["a.txt", "b.txt", "c.txt"]
    other = tmp_path / "other.jsonl"
    for content in ('{"prompt": 1}\n', "my notes\nof today\n"):
        other.write_text(content, encoding="utf-8")
        assert main(["structure", str(folder), "--out", str(other)]) == 2
        assert other.read_text(encoding="utf-8") == content
    assert main(["structure", str(tmp_path / "none"), "--out", str(out)]) == 2


def test_the_command_has_a_served_model_complete_what_rules_began(tmp_path, capsys):
    folder, out = tmp_path / "docs", tmp_path / "out.jsonl"
    folder.mkdir()
    said = "对张某甲判三年"
    texts = {
        "a": judgments.CRIMINAL, "b": f"{judgments.TRUNCATED}。综上，{said}。", "c": f"{judgments.TRUNCATED}。另案。",
        "d": judgments.TRUNCATED,
    }  # fmt: skip
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    sentence = {"defendant": "张某甲", "charges": [], "kind": "fixed", "months": 36, "probation_months": None,
                "reprieve_months": None, "fine_yuan": None}  # fmt: skip
    answer = {
        "sentence": [{"value": sentence, "quote": said}, {"value": sentence | {"months": "三年"}, "quote": said}],
        "charge": [{"value": "抢劫", "quote": "盗窃"}],
    }
    broken = ["另案"]

    def reply(body):
        asked = body["messages"][-1]["content"]
        if any(one in asked for one in broken):
            return 400
        return json.dumps(answer, ensure_ascii=False) if said in asked else "我不知道"

    def lines():
        return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]

    command = ["structure", str(folder), "--out", str(out)]
    assert main(command) == 0
    rules = out.read_bytes()
    asking = [*command, "--served-model", "m", "--server"]
    assert main([*command, "--served-model", "m"]) == 2 and "needs --model FOLDER" in capsys.readouterr().err
    assert main([*asking, "http://127.0.0.1:9/v1"]) == 2 and "does not answer" in capsys.readouterr().err
    assert out.read_bytes() == rules, "what there is stays where the model can't be asked"
    with Server(reply, length=8_000) as server:
        assert main([*asking, server.url]) == 1
        told = capsys.readouterr().err
        assert f"error: {folder}/c.txt got no answer from the model" in told and "HTTP 400" in told
        assert f"note: {folder}/b.txt: sentence: " in told and "d.txt: the answer holds no" in told
        first = lines()
        assert [line["file"][-5:] for line in first] == ["a.txt", "b.txt", "c.txt", "d.txt"]
        assert first[0]["document"] == structure(texts["a"]) and first[0]["faults"] == [], "nothing was left open"
        assert "error" in first[2] and len(server.asked) == 3
        made, bare = lines()[1]["document"], structure(texts["b"])
        check_document(made)
        (kept,) = made["elements"].pop("sentence")
        assert (kept["value"], kept["origin"]) == (sentence, "model") and made == bare, "rules are not overwritten"
        assert texts["b"][kept["start"] : kept["end"]] == said and len(first[1]["faults"]) == 2
        broken.clear()
        (folder / "d.txt").write_text(judgments.CIVIL, encoding="utf-8")
        assert main([*asking, server.url]) == 0
        assert len(server.asked) == 4, "what failed is asked again; what is done, or by now whole by the rules, is not"
        second = lines()
        assert second[:2] == first[:2] and "document" in second[2] and second[3]["document"]["kind"] == "civil"
        whole = out.read_bytes()
        assert main([*asking, server.url]) == main(command) == 0 and out.read_bytes() == whole
    out.write_bytes(whole.replace(b'"model": "m"', b'"model": "other"'))
    assert main([*asking, server.url]) == 2 and "was completed by other, not m" in capsys.readouterr().err
