"""Articles of law: which law, which article, paragraph and item, and what is quoted."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import regex

from curricula.numerals import to_int
from curricula.statutes import edition, load_statutes
from rewards.parsing.text import plain, scan

_N = "0-9零〇一二两三四五六七八九十百千"
_CHINESE = "[零〇一二两三四五六七八九十百千]"
ABBREVIATIONS = {
    "刑诉法": "刑事诉讼法",
    "民诉法": "民事诉讼法",
    "行诉法": "行政诉讼法",
    "治安处罚法": "治安管理处罚法",
    "道交法": "道路交通安全法",
    "消法": "消费者权益保护法",
    "消保法": "消费者权益保护法",
    "劳动争议仲裁法": "劳动争议调解仲裁法",
    "环保法": "环境保护法",
    "个保法": "个人信息保护法",
    "未保法": "未成年人保护法",
    "破产法": "企业破产法",
    "反家暴法": "反家庭暴力法",
    "反诈法": "反电信网络诈骗法",
    "反电诈法": "反电信网络诈骗法",
    "土管法": "土地管理法",
    "食安法": "食品安全法",
    "房地产管理法": "城市房地产管理法",
    "网安法": "网络安全法",
    "数安法": "数据安全法",
    "社保法": "社会保险法",
    "妇保法": "妇女权益保障法",
    "妇女法": "妇女权益保障法",
    "老年法": "老年人权益保障法",
    "涉外法律适用法": "涉外民事关系法律适用法",
    "招投标法": "招标投标法",
    "税收征管法": "税收征收管理法",
    "征管法": "税收征收管理法",
    "海诉法": "海事诉讼特别程序法",
    "国赔法": "国家赔偿法",
    "村组法": "村民委员会组织法",
    "村委会组织法": "村民委员会组织法",
    "居委会组织法": "城市居民委员会组织法",
    "选举法": "全国人民代表大会和地方各级人民代表大会选举法",
    "代表法": "全国人民代表大会和地方各级人民代表大会代表法",
    "监督法": "各级人民代表大会常务委员会监督法",
    "地方组织法": "地方各级人民代表大会和地方各级人民政府组织法",
    "香港基本法": "香港特别行政区基本法",
    "澳门基本法": "澳门特别行政区基本法",
    "香港国安法": "香港特别行政区维护国家安全法",
    "消费者保护法": "消费者权益保护法",
    "劳动仲裁法": "劳动争议调解仲裁法",
}
"""Usual short names of laws, beside the official name without 中华人民共和国."""

_MARKED = regex.compile(r"《((?:[^《》\n]|《[^《》\n]{1,60}+》){2,120}+)》")
_BARE = regex.compile(
    r"(?:法典|民法[通总]则|法|条例|规定|决定|解释|办法|规则|细则|意见|通知|批复|纪要|合同|协议书?|章程|公约|修正案"
    r"|(?<=法典\p{Han}{1,8})编)(?:\([一二三四五六七八九十]{1,3}\))?"
    rf"(?=\s?第|\s?§|\s?\d{{1,4}}\s?[条、,和及]|\s?{_CHINESE}{{1,12}}+条)"
)
_SAME_LAW = regex.compile(r"(?:[本该]|(?<!合)同|上述|前述)(?:法典|法|条例|规定|决定|解释)$")
"""Words that stand for the law named before."""
_YEAR = regex.compile(
    r"\s?\(\s?(?P<year>\d{4})\s?年?(?:\d{1,2}月(?:\d{1,2}日)?)?(?:第[一二三]次)?(?:修正|修订|修改)\w{0,3}\)"
)
"""A year of amendment behind a title: 《公司法》(2018年修正)."""
_BOOK = regex.compile(r"(?<=法典)\W?\p{Han}{1,8}编$")
"""A book of a code behind its name: 民法典侵权责任编."""
_BEFORE = regex.compile(r"\p{Han}{1,20}$")
_COURT = regex.compile(r"最高人民(?:法|检察)院[\p{Han}、]{2,80}$")
"""Before the last words of an interpretation whose title stands without 《》."""
_NUMERAL = rf"[{_N}](?:\s?[{_N}]){{0,11}}+"
_THING = (
    r"(?!\s?(?:香?烟|裤|鱼|命|腿|毛巾|船|道路|路线|线索|短信|信息|消息|微信|记录|意见|建议|规定|狗|项链|被子|围巾|牛仔"
    r"|要求|理由|措施))"
)
"""What is counted in 条 and is not an article: 香烟二十条, 两条项链."""
_SIGN_AHEAD = rf"(?=第?[\s\d{_N}]{{1,14}}+[条、,和及])"
"""What the number of an article is followed by: most numbers of a text are given up here, before all else is tried."""
_ARTICLE = regex.compile(
    rf"第\s?(?P<number>{_NUMERAL})\s?(?:条(?:之(?P<insertion>[{_N}]{{1,4}}))?|之(?P<inner>[{_N}]{{1,2}})\s?条|(?=第[{_N}]{{1,3}}款))"
    rf"(?:\s?第?\s?(?P<paragraph>[{_N}]{{1,4}})(?:[、和及]第?[{_N}]{{1,4}}){{0,4}}\s?款)?(?:\s?第?\s?\(?(?P<item>[{_N}]{{1,4}})\)?(?:[、和及]第?\(?[{_N}]{{1,4}}\)?){{0,4}}\s?项)?"
    rf"|{_SIGN_AHEAD}(?:"
    rf"(?<![\d第])(?P<bare>(?<!(?:香?烟|短信|信息|裤子?|项链|记录|消息)\s?)\d{{1,4}}|(?<=[》、,和及])\s?[{_N}]{{2,12}}|(?<=法|法典|条例|规定|决定|解释)\s?{_CHINESE}{{1,12}}+|(?<=^|\n|依照|根据|依据|按照|违反|触犯|适用)\s?{_CHINESE}{{2,12}}+)\s?条{_THING}"
    rf"(?:之(?P<insertion>[{_N}]{{1,4}}))?(?:\s?第?\s?(?P<paragraph>[{_N}]{{1,4}})(?:[、和及]第?[{_N}]{{1,4}}){{0,4}}\s?款)?(?:\s?第?\s?\(?(?P<item>[{_N}]{{1,4}})\)?(?:[、和及]第?\(?[{_N}]{{1,4}}\)?){{0,4}}\s?项)?"
    rf"|(?:第\s?(?P<first>[{_N}]{{1,12}})|(?<=[、,和及]|法|》)\s?(?P<listed>\d{{1,4}}|(?<=[、,和及]\s?)[{_N}]{{2,12}}))"
    rf"(?=(?:\s?[、,和及]\s?第?\s?[{_N}]{{1,12}}+){{1,12}}+\s?条))"
    rf"|(?:\b[Aa]rt(?:icle|\.)|§)\s?(?P<english>\d{{1,4}})(?:[-‑](?P<insertion>\d{{1,2}})\b)?"
)
_KINDS, _PARTS = (
    [_ARTICLE.groupindex[name] - 1 for name in names]
    for names in (("number", "bare", "first", "listed", "english"), ("insertion", "inner", "paragraph", "item"))
)
"""Where among the groups of ``_ARTICLE`` the ways in which a number may be written are, and what stands behind it; to
ask a match for a group by its name takes twenty times as long."""
_FOUR_DIGITS = regex.compile(r"\d{4}")
_LEAD = regex.compile(r"^.*(?:依照|根据|按照|依据|违反|适用|参照|援引|触犯|我国|以及|[和及])(?=.)")
"""Words before a law's name in running text."""
_QUOTE = regex.compile(r"[“「\"](?P<quote>[^“”「」\"\n]{6,400})[”」\"]")


@dataclass(frozen=True)
class ArticleRef:
    """A reference to an article."""

    law: str | None
    """Name of the law without 中华人民共和国, abbreviations written out; None where the text names none."""
    number: int
    insertion: int = 0
    """1 for 第十七条之一, else 0."""
    paragraph: int | None = None
    """第…款."""
    item: int | None = None
    """第…项."""
    quote: str | None = None
    """Text in quotation marks after the number, before the next reference."""
    start: int = field(default=0, compare=False)
    """Where the number begins in the folded text."""
    end: int = field(default=0, compare=False)
    """Where it ends there, paragraph and item included."""
    edition: int | None = None
    """Year of amendment in the law's title, as in 刑法（2020修正）."""

    @property
    def key(self) -> tuple[int, int]:
        """(article, insertion)."""
        return self.number, self.insertion

    @property
    def place(self) -> str:
        """第264条, 第17条之1."""
        return f"第{self.number}条" + (f"之{self.insertion}" if self.insertion else "")

    @property
    def title(self) -> str:
        """The law's title with the year of amendment."""
        return (self.law or "") + (f"({self.edition}修正)" if self.edition else "")

    def __str__(self) -> str:
        return (self.law or "") + self.place


@lru_cache(maxsize=10_000)
def law_name(written: str, marked: bool = True) -> str:
    """A law's name without 中华人民共和国, abbreviations written out; without 《》 words may stand before it."""
    name = _BOOK.sub("", written.replace("中华人民共和国", "").strip())
    if not marked:
        statutes = load_statutes()
        tails = (name[start:] for start in range(len(name) - 1))
        known = (tail for tail in tails if tail in ABBREVIATIONS or statutes.holds(tail))
        name = next(known, name if _COURT.match(name) else _LEAD.sub("", name))
    return ABBREVIATIONS.get(name, name)


def article_refs(text: str) -> list[ArticleRef]:
    """References to articles, in order. A number without a law belongs to the law named last before it.

    Known writings: 《中华人民共和国刑法》第二百六十四条, 刑法第264条第二款第(三)项, 第二六四条, 第17条之一, 第17之一条,
    264条, 刑法二百六十四条, 第264、266条, Article 264, §264. What is merely counted (香烟20条) is not a reference.
    """
    written = plain(text)
    if not any(sign in written for sign in ("条", "款", "rt", "§")):
        return []
    titles = scan(_MARKED, written)
    laws = sorted(_laws(written, titles), key=lambda law: law[0])
    quotes = [(m.start(), m["quote"]) for m in scan(_QUOTE, written)]
    matches = _outside(scan(_ARTICLE, written), titles)
    found, law_at, quote_at = [], -1, 0
    for place, match in enumerate(matches):
        while law_at + 1 < len(laws) and laws[law_at + 1][0] <= match.start():
            law_at += 1
        while quote_at < len(quotes) and quotes[quote_at][0] < match.end():
            quote_at += 1
        end = matches[place + 1].start() if place + 1 < len(matches) else len(written)
        quote = quotes[quote_at][1] if quote_at < len(quotes) and quotes[quote_at][0] < end else None
        groups = match.groups()
        try:
            number = to_int("".join(next(groups[kind] for kind in _KINDS if groups[kind]).split()))
            insertion, inner, paragraph, item = (to_int(groups[part]) if groups[part] else None for part in _PARTS)
        except ValueError:
            continue
        law, year = laws[law_at][1:] if law_at >= 0 else (None, None)
        where = match.start(), match.end()
        found.append(ArticleRef(law, number, insertion or inner or 0, paragraph, item, quote, *where, year))
    return found


def _outside(matches: list[regex.Match[str]], titles: list[regex.Match[str]]) -> list[regex.Match[str]]:
    """The matches that do not stand within a title; both are in order."""
    found, at = [], -1
    for match in matches:
        while at + 1 < len(titles) and titles[at + 1].start() < match.start():
            at += 1
        if at < 0 or match.end() >= titles[at].end() - 1:
            found.append(match)
    return found


def _laws(text: str, titles: list[regex.Match[str]]) -> list[tuple[int, str, int | None]]:
    """(where it ends, name, year of amendment) of every law that a text names, in 《》 or before a number."""
    found = []
    for match in titles:
        name, year = edition(match[1]) if _FOUR_DIGITS.search(match[1]) else (match[1], None)
        behind = _YEAR.match(text, match.end())
        year = int(behind["year"]) if behind and year is None else year
        found.append((match.end(), law_name(name), year))
    for match in scan(_BARE, text):
        court = match[0].startswith(("解释", "规定", "意见", "批复"))
        before = court and _COURT.search(text, max(0, match.start() - 90), match.start())
        before = before or _BEFORE.search(text, max(0, match.start() - 20), match.start())
        if before and not _SAME_LAW.search(before[0] + match[0]):
            found.append((match.end(), law_name(before[0] + match[0], marked=False), None))
    return found


def articles(text: str) -> frozenset[tuple[int, int]]:
    """(article, insertion) of every article number, whatever the law: 第二百六十四条, 第264条, 264条, 第十七条之一."""
    return frozenset(ref.key for ref in article_refs(text))
