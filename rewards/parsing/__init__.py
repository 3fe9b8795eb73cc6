"""Answers out of completions: sections, option letters, articles, charges, terms, money, dates, numbers.

Every parser looks at ``LONGEST`` characters at most and every pattern is linear in them, so that hostile completions
cost no more than long ones; patterns run under a time limit as well (``rewards.parsing.text.scan``).
"""

from rewards.parsing.answers import answer_of, final_answer, thinking_of
from rewards.parsing.articles import ArticleRef, article_refs, articles
from rewards.parsing.charge_names import charges_in_force, known_charges, present_name
from rewards.parsing.charges import charges, present_charges
from rewards.parsing.choices import choice_letters, discussions, find_choice, judged_right
from rewards.parsing.dates import dates, deadline, limitation_period
from rewards.parsing.money import Amount, amounts, fine
from rewards.parsing.numbers import numbers
from rewards.parsing.quantity import quantity
from rewards.parsing.terms import Term, term
from rewards.parsing.text import LONGEST, folded, normalised, plain

__all__ = [
    "LONGEST", "Amount", "ArticleRef", "Term", "amounts", "answer_of", "article_refs", "articles", "charges",
    "charges_in_force", "choice_letters", "dates", "deadline", "discussions", "final_answer", "find_choice", "fine",
    "folded", "judged_right", "known_charges", "limitation_period", "normalised", "numbers", "plain",
    "present_charges", "present_name", "quantity", "term", "thinking_of",
]  # fmt: skip
