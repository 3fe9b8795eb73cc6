"""Structuring gets the thirty judgments right; their law exists, and their sentences are lawful."""

import re

import pytest

from curricula.statutes import load_statutes
from rewards.statute_check import check_citations
from rl.inference.structuring.document import structure
from rl.inference.structuring.element_schema import check_document
from tests.rl.synthesis.judgments import judgments

ALL = judgments()
each = pytest.mark.parametrize("judgment", ALL, ids=[one.name for one in ALL])


def values(document, name):
    return [element["value"] for element in document["elements"].get(name, [])]


def article(value):
    parts = [value["law"], value["article"]]
    if value["paragraph"] or value["item"]:
        parts.append(str(value["paragraph"] or "-"))
    return " ".join([*parts, *([str(value["item"])] if value["item"] else [])])


def found(document):
    """What a document says, in the form of the truth."""
    elements = {
        "kind": document["kind"],
        "instance": document["instance"],
        "document": next(iter(values(document, "document")), None),
        "case_number": next(iter(values(document, "case_number")), None),
        "cause": next(iter(values(document, "cause")), None),
        "parties": [[v["role"], v["name"]] for v in values(document, "party")],
        "charges": values(document, "charge"),
        "sentences": [sentence(v) for v in values(document, "sentence")],
        "reductions": [[v["defendant"], v["months"]] for v in values(document, "reduction")],
        "articles": [article(v) for v in values(document, "article")],
        "payments": [[v["payers"], v["payees"], v["yuan"]] for v in values(document, "payment")],
        "outcome": next(iter(values(document, "outcome")), None),
        "fee": next((v["yuan"] for v in values(document, "court_fee")), None),
    }
    return elements | {"circumstances": {v["kind"] for v in values(document, "circumstance") if v["present"]}}


def sentence(value):
    named = {"who": "defendant", "charges": "charges", "kind": "kind", "months": "months"}
    named |= {"probation": "probation_months", "fine": "fine_yuan"}
    return {short: value[name] for short, name in named.items() if value[name] is not None}


@each
def test_the_elements_are_those_of_the_truth(judgment):
    document = structure(judgment.text)
    check_document(document)
    truth, elements = judgment.truth, found(document)
    wanted = {key: truth[key] for key in elements if key in truth}
    wanted |= {"circumstances": set(truth["circumstances"])} if "circumstances" in truth else {}
    assert document["judgment"] and document["complete"]
    assert {key: elements[key] for key in wanted} == wanted


def without_head(text):
    """From the first party on: no court, no title, no number."""
    return text[re.search("(?:^|\n| )(?=公诉机关|原告|上诉人|罪犯|原公诉)", text).end() :]


FORMS = {
    "on one line": lambda text: re.sub(r"\s", "", text),
    "with spaces for line ends": lambda text: re.sub(r"\s*\n\s*", " ", text),
    "indented, with empty lines": lambda text: text.replace("\n", "\n\n\u3000\u3000"),
    "half-width": lambda text: text.translate(str.maketrans("，：；（）", ",:;()")),
    "without its title": lambda text: re.sub(r"[刑民]\s?事\s?(附带民事)?[判裁调]\s?[决定解]\s?书", "", text, count=1),
    "without its head": without_head,
    "without its head, on one line": lambda text: re.sub(r"\s", "", without_head(text)),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_layout_changes_nothing(form):
    for judgment in ALL:
        document, truth = structure(FORMS[form](judgment.text)), judgment.truth
        left_out = {"document", "case_number"} if "without" in form else set()
        wanted = {
            key: truth[key] for key in found(document) if key in truth and key not in left_out | {"circumstances"}
        }
        assert document["judgment"] and document["complete"], judgment.name
        assert {key: found(document)[key] for key in wanted} == wanted, judgment.name


@each
def test_the_sections_begin_where_they_should(judgment):
    document = structure(judgment.text)
    begins = {s["name"]: judgment.text[s["start"] : s["end"]] for s in document["sections"]}
    assert "".join(begins.values()) == judgment.text
    for name, start in judgment.truth["sections"].items():
        assert begins.get(name, "").startswith(start), name
    assert set(begins) - {"header", "procedure", "claims", "prior", "tail"} == set(judgment.truth["sections"]) - {
        "claims",
        "prior",
    }
    assert len(begins["ruling"]) < 800 and "审判" not in begins["ruling"]


@each
def test_every_article_exists_in_the_law_in_force(judgment):
    statutes = load_statutes()
    for written in judgment.truth["articles"]:
        law, number, *_ = written.split()
        assert statutes.find(law, number), written
    assert all(checked.outcome != "wrong" for checked in check_citations(judgment.text))
