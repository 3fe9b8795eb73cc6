r"""Arithmetic in an answer: 3/2, (1+0.5)×12, \frac{3}{2}."""

import logging
from fractions import Fraction

import regex

LONGEST_EXPRESSION = 40
"""Characters of an expression. Powers are not read, since their value may be too large to write; nor are a minus and
a second slash, which stand in ranges and dates."""

_EXPRESSION = regex.compile(r"(?:\\d?frac\{[\d.]{1,9}\}\{[\d.]{1,9}\}|\\(?:times|div|cdot)(?![a-z])|[\d.()+*/×÷])+")
_OPERATOR = regex.compile(r"[+*/×÷\\]")


def expression(text: str) -> Fraction | None:
    """The value of an arithmetic expression (math-verify's parser); None for anything else, or a division by 0."""
    if (
        len(text) > LONGEST_EXPRESSION
        or "**" in text
        or text.count("/") > 1
        or not _OPERATOR.search(text)
        or not _EXPRESSION.fullmatch(text)
    ):
        return None
    from math_verify import parse

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    latex = text.replace("×", r"\times ").replace("÷", r"\div ").replace("*", r"\times ")
    for found in parse(f"${latex}$", parsing_timeout=None):
        try:
            return Fraction(str(found.evalf(15)) if not found.is_Rational else str(found))
        except (AttributeError, ValueError, ZeroDivisionError, TypeError):
            continue
    return None
