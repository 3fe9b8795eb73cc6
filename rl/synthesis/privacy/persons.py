"""Who is named in a judgment: parties and their agents, witnesses, victims, others; and who speaks for the court."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import regex

from rl.inference.structuring.document import structure
from rl.synthesis.privacy.names import ANONYMISED, COMPOUND, FOREIGN, LATIN, STRONG, is_name, is_word, read_name, surname
from rl.synthesis.privacy.spans import Span

_ROLES = (
    "附带民事诉讼原告人|附带民事诉讼被告人|原审上诉人|原审被上诉人|原审被告人|原审被告|原审原告|原审第三人|被上诉人|上诉人|再审申请人"
    "|被申请人|申请人|被申请执行人|申请执行人|被执行人|异议人|赔偿请求人|被告人|原告人|原告|被告|第三人|罪犯|犯罪嫌疑人|嫌疑人|同案犯|同案人|同案被告人|同案"
    "|同伙|案外人|被害人|受害人|受害者|被害者|死者|伤者|证人|委托诉讼代理人|委托代理人|诉讼代理人|法定代表人|法定代理人|监护人|指定辩护人|辩护人"
    "|负责人|经营者|投资人|实际控制人|股东|出借人|借款人|保证人|担保人|债务人|债权人|出租人|承租人|出卖人|买受人|转让人|受让人|发包人|承包人|实际施工人"
    "|驾驶人|驾驶员|司机|车主|乘车人|乘客|行人|被继承人|继承人|遗嘱人|立遗嘱人|代书人|见证人|鉴定人|翻译人员|中间人|介绍人|收款人|付款人|户主|户名|联系人"
    "|业主|房东|租客|员工|职工|经理|总经理|董事长|厂长|店主|老板|会计|出纳|业务员|工人|学生|教师|医生|村民|邻居|朋友|好友|同事|工友|同学|战友|老乡|网友|客户|民警|辅警"
    "|妻子|丈夫|父亲|母亲|儿子|女儿|哥哥|弟弟|姐姐|妹妹|长子|次子|三子|长女|次女|三女|婚生子|婚生女|之子|之女|之妻|之夫|之父|之母|侄子|侄女|外甥|女婿|儿媳|岳父|岳母|公公|婆婆|爷爷|奶奶|男友|女友|前妻|前夫"
    "|吸毒人员|贩毒人员|购毒人员|涉案人员|买家|卖家|中介|上线|下线|姓名|曾用名|又名|别名|化名|自报|真名|原名|签收人|收货人|受益人|投保人|被保险人|抚养人|被扶养人|被抚养人"
)
_OFFICIALS = (
    "代理审判长|审判长|代理审判员|助理审判员|审判员|人民陪审员|陪审员|法官助理|执行员|代书记员|代理书记员|见习书记员|实习书记员|书记员|法官|庭长|院长"
    "|代理检察员|检察员助理|检察官助理|检察员|检察官|检察长"
)
_BRACKET = r"(?:\([^()\n]{1,40}\))?"
_LEAD = r"(?:[一二三四五六七八九十\d]{1,2}(?=[:]))?(?:系|是|为|叫|名叫|的)?[ \t]*[:、\"“]?[ \t]*"
_CALLED = regex.compile(rf"(?P<role>{_ROLES})(?!人民|单位|方(?=[称诉辩未对不与的均提支有无主应在认申举向]))(?:{_BRACKET}){_LEAD}")
_OFFICIAL = regex.compile(rf"(?:{_OFFICIALS})[ \t:]*")
_IDENTIFIED = regex.compile(rf"(?<!\p{{Han}})(?P<name>(?:{COMPOUND})\p{{Han}}{{1,2}}|\p{{Han}}{{2,4}}|\p{{Han}}{{1,8}}(?:·\p{{Han}}{{1,8}})+)(?:\([^()\n]{{1,40}}\))?[,、 \t]{{1,2}}(?:性别[: ]?)?[男女](?=[,、 \t;。)\n])")
"""A name before the person's sex: 张三,男."""
_LISTED = regex.compile(r"(?:\([^()\n]{1,30}\))?[、和及与]{1,2}")
_BEFORE = regex.compile(r"(?:^|[\n,。;:、(\"“]|[与和向由经被对将给及让叫找约替帮]|(?<=[,。;、\n\p{Han}])(?:后|因|见|系|是|遇到|联系|指使|伙同|告知|通知|通过))$")
_RUN = regex.compile(r"\p{Han}+")
_ORGANISATION = regex.compile(
    r"(?:公司|集团|银行|支行|分行|厂|商店|超市|酒店|饭店|中心|医院|学校|大学|学院|幼儿园|委员会|政府|管理局|分局|公安局|检察院|法院|派出所|事务所|支队|大队"
    r"|村|合作社|经营部|工作室|商行|企业|协会|研究所|工程队|门市部|营业部|办事处|服务部|有限)"
)
_PLACE = frozenset("省市县区镇乡路街")
_SURE, _LIKELY, _PERHAPS = 6.0, 3.5, -1.5
"""Log-odds of a name after a role; of one in a list behind it; after a word or mark that a name may follow."""


@dataclass(frozen=True)
class People:
    """Names of a judgment."""

    persons: tuple[str, ...]
    """Natural persons other than those of ``officials``."""
    officials: tuple[str, ...]
    """Judges, assessors, clerks, prosecutors."""
    organisations: tuple[str, ...]
    """Companies and authorities among the parties."""


def people(text: str) -> People:
    """The names in an aligned text. What is anonymised already (张某, 李某某, 王某甲) is none."""
    elements = structure(text)["elements"]
    parties = [element["value"]["name"] for element in elements.get("party", [])]
    organisations = tuple(dict.fromkeys(name for name in parties if len(name) > 3 and _ORGANISATION.search(name)))
    officials = {one["value"]["name"] for one in elements.get("judge", [])} | set(_after(text, _OFFICIAL, frozenset()))
    sure = {name for name in parties if is_name(name) and name not in organisations}
    sure |= {m["name"] for m in _IDENTIFIED.finditer(text) if is_name(m["name"]) and not _ORGANISATION.search(m["name"])}
    parts = [*sure]
    found = sure | set(_after(text, _CALLED, frozenset(sure)))
    found |= set(_elsewhere(text, frozenset(found)))
    found = {_settled(text, name, sure) for name in found} - {name for name in officials if name not in parts}
    return People(tuple(sorted(found)), tuple(sorted(officials - found)), organisations)


def _after(text: str, pattern: regex.Pattern[str], known: frozenset[str]) -> Iterator[str]:
    """Names behind the words of a pattern, and those listed behind them: 证人张三、李四."""
    for match in pattern.finditer(text):
        place, expected = match.end(), _SURE
        while name := _at(text, place, expected, known):
            yield "".join(name.split())
            place += len(name)
            more = _LISTED.match(text, place)
            if more is None:
                break
            place, expected = more.end(), _LIKELY


def _at(text: str, place: int, expected: float, known: frozenset[str]) -> str | None:
    """The name at a place, as it is written there."""
    foreign = FOREIGN.match(text, place) or LATIN.match(text, place)
    if foreign and not ANONYMISED.search(foreign[0] if foreign.re is FOREIGN else ""):
        return _ending(text, foreign)
    run = _RUN.match(text, place)
    if run is None:
        return None
    spaced = regex.match(r"\p{Han}[ ]{1,4}\p{Han}(?![\p{Han}])|\p{Han}[ ]{1,4}\p{Han}[ ]{1,4}\p{Han}(?![\p{Han}])", text, pos=place)
    if spaced and is_name("".join(spaced[0].split())):
        return str(spaced[0])
    if _organisation(text, place, run.end()):
        return None
    name = read_name(text, place, run.end(), expected, known)
    return name


def _ending(text: str, foreign: regex.Match[str]) -> str:
    """A name with dots without what follows its last part: 阿卜杜拉·买买提 of 阿卜杜拉·买买提盗窃."""
    name, whole = foreign[0], foreign[0]
    while len(name) > 3 and text.count(name) < text.count(name[:-1]) and name[-2] not in "·•・":
        name = name[:-1]
    return name if text.count(name) > 1 else whole


def _organisation(text: str, start: int, end: int) -> bool:
    """Whether what begins at a place is the name of a company or authority."""
    piece = text[start : min(end, start + 30)]
    last = _ORGANISATION.search(piece)
    return bool(last and last.start() >= 2 and not regex.search(r"[在到与和向的于因将被从对把给是系有以及由经就未不至称为]", piece[: last.start()]))


def _elsewhere(text: str, known: frozenset[str]) -> Iterator[str]:
    """Names that stand without a role: at the beginning of a clause, or after 与, 向, 由 …; they need a frequent
    surname."""
    for match in regex.finditer(rf"[{''.join(sorted(STRONG))}]|(?:{COMPOUND})", text):
        start = match.start()
        if not _BEFORE.search(text, max(0, start - 4), start):
            continue
        run = _RUN.match(text, start)
        if run is None or _organisation(text, start, run.end()):
            continue
        name = read_name(text, start, run.end(), _PERHAPS, known)
        if name and name not in known and text[start + len(name) : start + len(name) + 1] not in _PLACE:
            yield name


def _settled(text: str, name: str, sure: set[str]) -> str:
    """A name, shortened by its last character where the text has the shorter one more often: 王五停(放) is 王五."""
    shorter = name[:-1]
    if name in sure or len(name) - len(surname(name)) < 2 or "·" in name or " " in name:
        return name
    return shorter if shorter in sure or text.count(shorter) > text.count(name) else name


def person_spans(text: str, names: Sequence[str], kept: Sequence[tuple[int, int]]) -> list[Span]:
    """Every place of these names in an aligned text, but for those within ``kept``, and those where the name is part
    of a word, a place or a company."""
    written = {"".join(name.split()): name for name in names if name}
    if not written:
        return []
    longest = sorted(written, key=len, reverse=True)
    pattern = regex.compile("|".join(r"[ ]{0,4}".join(map(regex.escape, name)) if len(name) < 4 else regex.escape(name) for name in longest))
    found = []
    for match in pattern.finditer(text):
        name = "".join(match[0].split()) if not LATIN.fullmatch(match[0]) else match[0]
        start, end = match.span()
        if any(first < end and start < last for first, last in kept) or not _stands(text, start, end, name):
            continue
        found.append(Span(start, end, "person", name))
    return found


def _stands(text: str, start: int, end: int, name: str) -> bool:
    """Whether a name stands for the person at a place."""
    if regex.match(r"某|(?:律师|会计师)事务所|\p{Han}{0,6}有限(?:责任)?公司|(?:省|市|县|区)(?!别)", text, pos=end):
        return False
    free = not text[start - 1 : start].strip() or not regex.match(r"\p{Han}", text[start - 1]) or end == len(text)
    return free or not is_word(name) or bool(_BEFORE.search(text, max(0, start - 4), start)) or bool(_CALLED.search(text, max(0, start - 30), start))
