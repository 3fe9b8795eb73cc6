"""Numbers that belong to a person: ID, telephone, bank account, passport, plate, e-mail, accounts of chat programs.

A number may have full-width digits, digits in Chinese (一三八…), spaces or hyphens inside, and, where words announce
it, dots, underscores or the end of a line. Sums of money, dates, numbers of cases, contracts and articles are none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import regex

from rl.inference.structuring.header import NUMBER
from rl.synthesis.privacy.check_digits import id_check, is_credit_code, is_id, luhn
from rl.synthesis.privacy.spans import Kind, Span, apart

_DIGITS = str.maketrans("〇零一二三四五六七八九幺", "001234567891")
_SEPARATORS = regex.compile(r"[\s\-‐‑–—―−·._]")
_GAP = r"[ \-‐‑–—―−]{0,2}"
_LOOSE = r"[ \-‐‑–—―−._]{0,2}(?:\n[ ]{0,4})?"
"""Between digits of an announced number, which may go on in the next line."""
_CHARACTERS = regex.compile(r"(?<![A-Za-z\d])[\dA-HJ-NP-RTUWXY]{18}(?![A-Za-z\d])")


def _with_gaps(pattern: str) -> tuple[regex.Pattern[str], ...]:
    """A pattern of digits, without separators, with them, and with loose ones, for which it holds #."""
    return tuple(regex.compile(pattern.replace("#", gap)) for gap in ("", _GAP, _LOOSE))


_ID = _with_gaps(r"(?<![A-Za-z\d]#)\d(?:#\d){16}#[\dXx](?!#\d)(?![A-Za-z])")
_OLD_ID = _with_gaps(r"(?<![A-Za-z\d]#)\d(?:#\d){14}(?!#[\dXx])(?![A-Za-z])")
_MOBILE = _with_gaps(
    r"(?<![A-Za-z\d]|\d#)(?:\(?(?:\+ ?(?:00)?|00)86\)?[ \-]{0,2}|\(?86\)?#)?1#[3-9](?:#\d){9}(?!\d|[A-Za-z])"
)
_GROUPED = (
    regex.compile(r"(?<![A-Za-z\d.])(?:\(1[3-9]\d\)[ ._-]?\d{4}[ ._-]?\d{4}|1[3-9]\d([._])\d{4}\1\d{4})(?![A-Za-z\d])"),
)
"""A mobile number in groups: (138)0000-1111, 138.0000.1111."""
_CARD = _with_gaps(r"(?<![A-Za-z\d])[3-69](?:#\d){14,18}(?!#\d)(?![A-Za-z])")
_ACCOUNT = _with_gaps(r"(?<![A-Za-z\d])\d(?:#\d){8,24}(?!\d)")
_LANDLINE = (
    regex.compile(
        r"(?<![\d.A-Za-z])(?:\(?\+?86\)?[ -]?)?(?:\(0\d{2,3}\)[ \-]?|0\d{2,3}[ \-‐‑–—―−]{1,2}|0(?:10|2\d|[3-9]\d{2}))"
        r"[2-8]\d{2,3}[ \-]?\d{4}(?!\d)(?:(?:转|-)\d{1,5}(?!\d))?"
    ),
)
_LOCAL = (regex.compile(r"(?<![\d.A-Za-z])[2-8]\d{2,3}[ \-]?\d{4}(?!\d)"),)
_EMAIL = regex.compile(r"(?<![A-Za-z\d._%+-])[A-Za-z\d._%+-]+\s?@\s?[A-Za-z\d-]+(?:\.[A-Za-z\d-]+)+")
_PASSPORT = (
    regex.compile(r"(?<![A-Za-z\d])(?:[EG]\d{8}|E[A-HJ-NP-Z]\d{7}|[PSD]E?\d{7}|[CHM]\d{8}(?:\d{2})?)(?![A-Za-z\d])"),
)
_OTHER_PASSPORT = (regex.compile(r"(?<![A-Za-z\d])[A-Z\d]{6,12}(?![A-Za-z\d])"),)
_PLATE = regex.compile(
    r"[京津冀晋蒙辽吉黑沪苏浙皖闽赣鲁豫鄂湘粤桂琼渝川贵云藏陕甘青宁新](?:\s?[A-Za-z](?:\s?[·•・.\-—]\s?|\s)?"
    r"(?:[A-Za-z\d]{6}|[A-Za-z\d]{5}|[A-Za-z\d]{4}[挂学警港澳使领])(?![A-Za-z\d])[警]?"
    r"|[A-Za-z][·•]?(?=[A-Za-z\d]{0,5}\n[A-Za-z\d]{1,6}(?![A-Za-z\d]))(?:\n?[A-Za-z\d]){5,6}(?![A-Za-z\d])"
    r"| {1,2}[A-Za-z](?: {1,2}[A-Za-z\d]){5,6}(?! ?[A-Za-z\d]))"
)
"""Written together; over the end of a line; with every character apart."""
_HANDLE = regex.compile(
    r"(?P<what>微\s?信|WeChat|QQ|支付宝|抖音|快手|微博|陌陌|钉钉|小红书|闲鱼)(?:\(|:)?(?P<said>账号|帐号|账户|号码|号|ID|id)?"
    r"(?:分别)?(?:为|是|系|:|\(|\"|“|‘|'|\s){0,4}"
    r"(?P<handle>(?(said)(?!ID)[A-Za-z][A-Za-z\d_\-]{1,19}|[A-Za-z][A-Za-z\d_\-]{5,19})|[1-9]\d{4,11})(?![A-Za-z\d_])",
    regex.I,
)
_QUANTITY = regex.compile(
    r"\s?(?:余|多)?(?:[万亿千百十]{1,2})?(?:余|多)?(?:元|圆|美金|美元|港币|港元|欧元|日元|股|克|千克|公斤|吨|公里|千米|米|平方|立方|%|份|吨|台|件)"
)
_MONEY = regex.compile(r"(?:[¥￥$]|人民币|RMB)[:为]?\s?$")
_PAPERS = regex.compile(
    r"(?:合同|协议|订单|定单|保单|保险单|发票|快递|运单|单据|流水|凭证|交易|备案|登记|许可|批准|鉴定|物证|商品|产品|序列|机身|串号"
    r"|车架|发动机|出厂|编|证书|执照|文|证书?|产权证|备案|批|型|图|学)(?:单)?(?:编号|号码|号|序号)(?:为|是|:|第|\s){0,3}$"
)
"""Before the number of a paper or thing."""
_WORDS: tuple[tuple[Kind, str], ...] = (
    ("id_number", "身份证|身份号码|证件号|身份证明号"),
    ("bank_account", r"(?<!微信|支付宝|QQ)(?:卡号|账号|帐号|账户|帐户|银行卡|信用卡|借记卡|储蓄卡|存折)"),
    ("phone", "电话|手机|座机|传真|联系方式|热线|短号|致电|拨打|号码"),
    ("passport", "护照|通行证|台胞证|回乡证|军官证|士兵证|居留证|居住证"),
)
"""Words that announce a number of a kind."""
_ASKED = tuple(
    (kind, regex.compile(rf"(?:{words})(?:\([^()\n]{{0,12}}\))?[^\d。;,、\n]{{0,10}}$")) for kind, words in _WORDS
)
_CALL = regex.compile(r"(?:电话|手机)(?:号码|号)?[为是: ]{0,3}$")
"""Straight before a telephone number, which then is no sum whatever follows."""
_LIST_OR_DATE = regex.compile(r" ?[年月日、.):条项号名]")
"""Behind digits that begin a line of their own."""
_BEFORE = 24
"""Characters before a number in which the word stands that announces it."""
_CASES = regex.compile(r"[(\[〔【]\s?(?:19|20)\d{2}\s?[)\]〕】]\s?[\p{Han}\d]{0,12}第?\s?\d{1,12}\s?号")


def number_spans(text: str, credit_codes: bool) -> list[Span]:
    """Personal numbers of an aligned text. ``credit_codes``: whether those of companies count."""
    written = text.translate(_DIGITS)
    kept = [m.span() for pattern in (NUMBER, _CASES) for m in pattern.finditer(text)]
    codes = [_span("credit_code", m, m[0].upper()) for m in _CHARACTERS.finditer(text) if _is_code(m[0].upper())]
    plates = [_span("plate", m, _dense(m[0])) for m in _PLATE.finditer(text) if _is_plate(_dense(m[0]))]
    emails = [_span("email", m, _dense(m[0])) for m in _EMAIL.finditer(text)]
    handles = [Span(m.start("handle"), m.end("handle"), "account", m["handle"].lower()) for m in _HANDLE.finditer(text)]
    handles = [one for one in handles if not _MOBILE[0].fullmatch(one.value)]
    rounds = [(2, _BROKEN), (0, _SEARCHES), (1, _SEARCHES), (2, _ANNOUNCED), (0, _LAST)]  # the surest come first
    groups = [
        list(_found(text, written, kept, patterns[gaps], kind, right))
        for gaps, searches in rounds
        for kind, patterns, right in searches
        if gaps < len(patterns)
    ]
    found = apart(emails, codes, plates, *groups, handles)
    return found if credit_codes else [span for span in found if span.kind != "credit_code"]


def _span(kind: Kind, match: regex.Match[str], value: str) -> Span:
    return Span(match.start(), match.end(), kind, value)


def _dense(written: str) -> str:
    return _SEPARATORS.sub("", written).upper() if "@" not in written else "".join(written.split()).lower()


def _is_code(code: str) -> bool:
    return is_credit_code(code) and not (code[:-1].isdigit() and is_id(code))


def _is_plate(plate: str) -> bool:
    body = plate[2:].rstrip("挂学警港澳使领")
    return any(one.isdigit() for one in body) and (len(body) < 6 or body[0].isalpha() or body[-1].isalpha())


def _found(
    text: str,
    written: str,
    kept: list[tuple[int, int]],
    pattern: regex.Pattern[str],
    kind: Kind,
    right: Callable[[str, bool, bool], bool],
) -> Iterator[Span]:
    """Numbers of a kind, other than those within ``kept``."""
    for match in pattern.finditer(written, overlapped=True):
        start, end = match.span()
        before = text[max(0, start - _BEFORE) : start]
        asked = any(one == kind and words.search(before) for one, words in _ASKED)
        paper = bool(_PAPERS.search(before)) or (before.endswith("第") and text[end : end + 1] == "号")
        if not right(_dense(match[0]), asked, paper) or (_counted(text, start, end) and not _called(kind, before)):
            continue
        lines = match[0].count("\n")
        if lines > 1 or (lines and _LIST_OR_DATE.match(text, end)):
            continue
        if not any(first < end and start < last for first, last in kept):
            yield Span(start, end, kind, regex.sub(r"[()+转]|^\(?\+?(?:00)?86\)?(?=1\d{10}$)", "", _dense(match[0])))


def _called(kind: Kind, before: str) -> bool:
    return kind == "phone" and bool(_CALL.search(before))


def _counted(text: str, start: int, end: int) -> bool:
    """Whether a number is a sum, a quantity or part of a decimal."""
    decimal = text[end : end + 1] in (".", ",") and text[end + 1 : end + 2].isdigit()
    return bool(decimal or _QUANTITY.match(text, end) or _MONEY.search(text, max(0, start - 8), start))


_Search = tuple[Kind, tuple[regex.Pattern[str], ...], Callable[[str, bool, bool], bool]]
"""Kind, patterns, and whether a number counts, given if words announce it and if it is that of a paper."""
_SEARCHES: tuple[_Search, ...] = (
    ("id_number", _ID, lambda number, asked, paper: asked or is_id(number)),
    ("id_number", _OLD_ID, lambda number, asked, paper: asked or (is_id(number) and not paper)),
    ("passport", _PASSPORT, lambda number, asked, paper: asked or number[0] in "EG"),
    ("passport", _OTHER_PASSPORT, lambda number, asked, paper: asked and sum(map(str.isdigit, number)) >= 5),
    ("bank_account", _CARD, lambda number, asked, paper: asked or (luhn(number) and not paper)),
    ("phone", _MOBILE, lambda number, asked, paper: not paper),
    ("phone", _GROUPED, lambda number, asked, paper: not paper),
    ("bank_account", _ACCOUNT, lambda number, asked, paper: asked),
)
_BROKEN: tuple[_Search, ...] = (
    ("id_number", _ID, lambda number, asked, paper: asked and is_id(number) and id_check(number) == number[17].upper()),
)
"""Over the end of a line, where the part before it could pass for a number of its own."""
_ANNOUNCED: tuple[_Search, ...] = (
    (
        "id_number",
        _ID,
        lambda number, asked, paper: is_id(number) and (asked or id_check(number) == number[17].upper()),
    ),
    ("bank_account", _CARD, lambda number, asked, paper: asked),
    ("phone", _MOBILE, lambda number, asked, paper: asked and not paper),
)
_LAST: tuple[_Search, ...] = (
    ("phone", _LANDLINE, lambda number, asked, paper: not paper),
    ("phone", _LOCAL, lambda number, asked, paper: asked),
)
