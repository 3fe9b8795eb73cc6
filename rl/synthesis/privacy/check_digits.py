"""Check digits of resident ID numbers, bank cards and credit codes."""

from __future__ import annotations

from datetime import date

_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECKS = "10X98765432"
_CODE = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_CODE_WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
_PROVINCES = frozenset(
    [*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66), 71, 81, 82, 83, 91]
)
"""First two digits of a region (GB/T 2260), with those of residents from elsewhere."""


def id_check(number: str) -> str:
    """The last character of a resident ID number of 18 characters, from its first 17 digits (GB 11643-1999)."""
    return _ID_CHECKS[sum(w * int(d) for w, d in zip(_ID_WEIGHTS, number[:17], strict=True)) % 11]


def is_id(number: str) -> bool:
    """Whether it has the form of a resident ID number: region and date of birth, 18 characters, or 15 of the old form.
    The check digit is not asked for: judgments misprint it."""
    if len(number) not in (15, 18) or not number[:-1].isdigit() or int(number[:2]) not in _PROVINCES:
        return False
    born = number[6:14] if len(number) == 18 else "19" + number[6:12]
    try:
        return 1880 <= date(int(born[:4]), int(born[4:6]), int(born[6:])).year <= 2100
    except ValueError:
        return False


def luhn(number: str) -> bool:
    """Whether a card number has a right check digit (ISO/IEC 7812-1)."""
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(number)))
    return sum(value - 9 * (value > 9) for value in doubled) % 10 == 0


def credit_check(code: str) -> str:
    """The last character of a unified social credit code of 18 characters, from its first 17 (GB 32100-2015)."""
    total = sum(weight * _CODE.index(one) for weight, one in zip(_CODE_WEIGHTS, code[:17], strict=True))
    return _CODE[-total % 31]


def is_credit_code(code: str) -> bool:
    """Whether it is a unified social credit code with a right check character."""
    return len(code) == 18 and all(one in _CODE for one in code) and credit_check(code) == code[17]
