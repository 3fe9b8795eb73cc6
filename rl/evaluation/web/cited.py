"""The statutes that an answer cites, each with its official text and what is wrong with the citation."""

from __future__ import annotations

from typing import Any

from rewards.statute_check import Checked, article_of, check_citations
from rl.evaluation.scoring import tried
from rl.evaluation.web.run_folders import Answered
from rl.language import Text

FAULTS = {
    "": "",
    "unknown law": Text("this law does not exist"),
    "not in force": Text("this law is not in force"),
    "unknown article": Text("this article does not exist"),
    "unknown part": Text("the article has no such paragraph or item"),
    "replaced": Text("the quotation is of a text that was replaced"),
    "other article": Text("the quotation stands elsewhere"),
    "inexact": Text("the quotation is inexact"),
    "not known": Text("it can't be checked, because it is not among the statutes"),
}
"""The sentence for each fault of a citation."""


def citations(one: Answered) -> list[dict[str, Any]]:
    """Articles that the first answer and its thinking cite: name, official text (empty where there is none),
    fault, and whether it is right, wrong or unknown."""
    if not one.answers:
        return []
    whole = f"{one.answers[0].get('thinking', '')}\n{one.text}"
    nothing: list[Checked] = []
    found = []
    for checked in tried(check_citations, whole, nothing):
        article = article_of(checked.ref)
        found.append(
            {
                "name": f"{article.law} {article.number}" if article else f"{checked.ref.law} {checked.ref.place}",
                "text": article.text if article else "",
                "fault": FAULTS[checked.fault],
                "why": checked.reason if checked.fault == "not in force" else "",
                "answer": checked.outcome,
            }
        )
    return found
