"""Who is named in a judgment: parties and their agents, witnesses, victims, others; and who speaks for the court."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial

import regex

from rl.inference.structuring.document import parties_and_judges
from rl.inference.structuring.header import NUMBER
from rl.synthesis.privacy.names import (
    ANONYMISED,
    DOTS,
    FOREIGN,
    INITIALS,
    LATIN,
    find_names,
    is_name,
    is_word,
    likelihood,
    surname,
    usual,
)
from rl.synthesis.privacy.spans import Span
from rl.synthesis.privacy.unusual import is_rare, is_written_by_sound, unusual_names

_ROLES = (
    "附带民事诉讼原告人|附带民事诉讼被告人|原审上诉人|原审被上诉人|原审被告人|原审被告|原审原告|原审第三人|被上诉人|上诉人|再审申请人"
    "|被申请人|申请人|被申请执行人|申请执行人|被执行人|异议人|赔偿请求人|被告人|原告人|原告|被告|第三人|罪犯|犯罪嫌疑人|嫌疑人|同案犯|同案人|同案被告人|同案"
    "|同伙|案外人|被害人|受害人|受害者|被害者|死者|伤者|证人|委托诉讼代理人|委托代理人|诉讼代理人|法定代表人|法定代理人|监护人|指定辩护人|辩护人"
    "|负责人|经营者|投资人|实际控制人|股东|出借人|借款人|保证人|担保人|债务人|债权人|出租人|承租人|出卖人|买受人|转让人|受让人|发包人|承包人|实际施工人"
    "|驾驶人|驾驶员|司机|车主|乘车人|乘客|行人|被继承人|继承人|遗嘱人|立遗嘱人|代书人|见证人|鉴定人|翻译人员|中间人|介绍人|收款人|付款人|户主|户名|联系人"
    "|业主|房东|租客|员工|职工|经理|总经理|董事长|厂长|店主|老板|会计|出纳|业务员|工人|学生|教师|医生|护士|班主任|老师|保安|保姆|房客|店员|村民|组长|队长|主任|科长|局长|村长|书记|经纪人|邻居|朋友|好友|同事|工友|同学|战友|老乡|网友|客户|民警|辅警"
    "|妻子|丈夫|父亲|母亲|儿子|女儿|哥哥|弟弟|姐姐|妹妹|长子|次子|三子|长女|次女|三女|婚生子|婚生女|之子|之女|之妻|之夫|之父|之母|侄子|侄女|外甥|女婿|儿媳|岳父|岳母|公公|婆婆|爷爷|奶奶|男友|女友|前妻|前夫"
    "|吸毒人员|贩毒人员|购毒人员|涉案人员|买家|卖家|中介|上线|下线|姓名|曾用名|又名|别名|化名|自报|真名|原名|签收人|收货人|受益人|投保人|被保险人|抚养人|被扶养人|被抚养人"
)
_OFFICIALS = (
    "代理审判长|审判长|代理审判员|助理审判员|审判员|人民陪审员|陪审员|法官助理|执行员|代书记员|代理书记员|见习书记员|实习书记员|书记员|法官|庭长|院长"
    "|速录员|代理检察员|检察员助理|检察官助理|检察员|检察官|检察长"
)
_BRACKET = r"(?:\([^()\n]{1,40}\))?"
_LEAD = r"(?:[一二三四五六七八九十\d]{1,2}(?=[:]))?(?:系|是|为|叫|名叫|的)?[ \t]*[:、\"“]?[ \t]*"
_CALLED = regex.compile(
    rf"(?P<role>{_ROLES})(?!人民|单位|方(?=[称诉辩未对不与的均提支有无主应在认申举向]))(?:{_BRACKET}){_LEAD}"
)
_OFFICIAL = regex.compile(rf"(?:{_OFFICIALS})[ \t:]*")
_SEX = regex.compile(r"(?:\([^()\n]{1,40}\))?[,、 \t]{1,2}(?:性别[: ]?)?[男女](?=[,、 \t;。)\n])")
"""Behind a person's name: 张三,男."""
_LONGEST = 30
"""Characters of a name with its role before it."""
_JOINT = frozenset("、和与及")
_LEADING = frozenset("同与和向由经被对将给及让叫找约替帮后因见系是为")
"""Characters that often stand before a name."""
_FUNCTION_WORD = regex.compile(r"[在到与和向的于因将被从对把给是系有以及由经就未不至称为]")
_APART = regex.compile(r"\p{Han}[ ]{1,4}\p{Han}(?:[ ]{1,4}\p{Han})?(?!\p{Han})")
_LATIN = regex.compile(rf"(?:{_ROLES}){_BRACKET}{_LEAD}(?P<name>{LATIN.pattern})(?![A-Za-z]| ?(?:Co|Ltd|Inc))")
_ENDS = frozenset("系称说为在的了与和对向被是等曰将于到从给把因犯以之诉辩均未已也")
"""Characters that end no name."""
_LEADS = regex.compile(r"^\p{Han}*[与和向由经被对将给及让叫找约替帮是为]")
_REFERENCE = regex.compile(r"\p{Han}{0,8}[字诉函决罚赔复议监审处公检鉴价认](?=[〔(\[【]\s?\d{4})")
"""The sign of an authority before the number of its paper: 云东检刑诉〔2024〕88号."""
_REMARK = regex.compile(r"\((?:均?另案|均?已判|在逃|另行|均?系|化名|绰号|外号|曾用名|又名|殁年|时年|男|女)")
"""Behind a name: 王五(另案处理)."""
_RUN = regex.compile(r"\p{Han}+")
_ORGANISATION = regex.compile(
    r"(?:公司|集团|银行|支行|分行|厂|商店|超市|酒店|饭店|中心|医院|学校|大学|学院|幼儿园|委员会|政府|管理局|分局|公安局|检察院|法院|派出所|事务所|支队|大队"
    r"|村|合作社|经营部|工作室|商行|企业|协会|研究所|工程队|门市部|营业部|办事处|服务部|有限)"
)
_PLACE = frozenset("省市县区镇乡路街村")
_GAP = r"(?:[ ]{0,4}|[ ]{0,2}\n[ ]{0,4})"
"""Between the characters of a name."""
_HEADING = regex.compile(r"[一二三四五六七八九十][、.]")
_NO_PERSON = regex.compile(
    r"[省市县区镇乡路街村]|社区|公路|居民|村民|小区|大道|物业|派出所|[()]?\p{Han}{0,6}\)?(?:律师|会计师)事务所"
)
"""Behind a place or a firm."""
_AFTER_ROLE, _IN_LIST, _ALONE, _LED, _ANYWHERE = 6.0, 3.5, 2.5, -1.0, -5.0
"""Log-odds of a name: after a role; in a list behind another name; as a whole piece between marks; at the beginning of
a clause or after a word that often leads one; elsewhere."""


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
    parties, judges = parties_and_judges(text)
    organisations = tuple(dict.fromkeys(name for name in parties if len(name) > 3 and _ORGANISATION.search(name)))
    officials = set(judges) | set(_listed(text, {match.end() for match in _OFFICIAL.finditer(text)}))
    sure = {name for name in parties if is_name(name) and name not in organisations}
    identified = {_before_sex(text, match.start()) for match in _SEX.finditer(text)}
    sure |= {
        name
        for name in identified
        if len(name) >= 2 and not (_ORGANISATION.search(name) or ANONYMISED.search(name) or name.endswith("族"))
    }
    places = {match.end() for match in _CALLED.finditer(text)}
    sure |= set(unusual_names(text, places))
    found = sure | _foreign(text, sure) | {name for at in places if (name := _spaced(text, at))}
    found |= set(_names(text, frozenset(sure | officials), places))
    found = {_settled(text, name, found, sure) for name in found} - (officials - set(parties))
    found = {
        name
        for name in found
        if name in sure or name[0] in INITIALS or len(surname(name)) > 1 or usual(name) or _ends_a_clause(text, name)
    }
    found -= {name for name in found - sure if _only_within(text, name, found)}
    return People(tuple(sorted(found)), tuple(sorted(officials - found)), organisations)


def _before_sex(text: str, end: int) -> str:
    """The name that ends at a place and begins its piece, without its role; empty if there is none."""
    start = end
    while start > max(0, end - _LONGEST) and (_is_ideograph(text[start - 1]) or text[start - 1] == "·"):
        start -= 1
    name = _CALLED.sub("", text[start:end])
    return name if len(name) <= 4 or "·" in name else ""


def _listed(text: str, places: set[int]) -> Iterator[str]:
    """The name at each place, and those listed behind it."""
    for place in places:
        while True:
            run, spaced = _RUN.match(text, place), _spaced(text, place)
            found = find_names(text, run.start(), run.end(), partial(_first, place)) if run and not spaced else []
            if not (spaced or found):
                break
            yield spaced or text[place : found[0][1]]
            place = found[0][1] if found else place + len(text)
            if text[place : place + 1] not in _JOINT:
                break
            place += 1


def _first(place: int, start: int, end: int) -> float:
    return _AFTER_ROLE if start == place else -math.inf


def _names(text: str, known: frozenset[str], places: set[int]) -> Iterator[str]:
    """Names in an aligned text. ``places``: ends of roles."""
    before = -1  # where the last name ended
    signs = {place for pattern in (_REFERENCE, NUMBER) for m in pattern.finditer(text) for place in range(*m.span())}

    def behind_a_party(place: int) -> bool:
        return any(
            place - size in places and is_name(one := text[place - size : place]) and not is_word(one)
            for size in (2, 3, 4)
        )

    def odds(start: int, end: int) -> float:
        name, left, right = text[start:end], text[start - 1 : start], text[end : end + 1]
        if name in known:
            return 20.0
        if start in signs or right == "〇":  # a case number; the year that follows a judge
            return -math.inf
        if start in places:
            return -math.inf if name[-1] in _ENDS and not _is_ideograph(right) else _AFTER_ROLE
        if name[-1] in _ENDS or name[-1] in _PLACE or _NO_PERSON.match(text, end):
            return -math.inf
        strong = name[0] in INITIALS or len(surname(name)) > 1
        if left in _JOINT and (start - 1 == before or (strong and behind_a_party(start - 1))):
            return _IN_LIST
        if _REMARK.match(text, end):
            return _IN_LIST
        inside, whole = _is_ideograph(left), not _is_ideograph(left) and not _is_ideograph(right)
        if left.isascii() and left.isalnum() and not (whole and end - start == 3):
            return -math.inf
        if (inside and not strong) or ((inside or not strong) and not usual(name)):
            return -math.inf
        return _ALONE if whole else _LED if left in _LEADING or not _is_ideograph(left) else _ANYWHERE

    for run in _RUN.finditer(text):
        for start, end in find_names(text, run.start(), run.end(), odds):
            if not _organisation(text, start, run.end()):
                before = end
                yield text[start:end]


def _only_within(text: str, name: str, found: set[str]) -> bool:
    """Whether a name stands nowhere but in a longer one: 阿力木 in 阿力木·吐尔逊."""
    longer = {other for other in found if name in other and name != other}
    return bool(longer) and text.count(name) == sum(text.count(other) for other in longer)


def _ends_a_clause(text: str, name: str) -> bool:
    """Whether a name, whose surname is more often a word of its own, stands before a mark somewhere."""
    return not _RUN.fullmatch(name) or any(f"{name}{mark}" in text for mark in ",。;:、()\n ")


def _is_ideograph(character: str) -> bool:
    return "\u4e00" <= character <= "\u9fff" or is_rare(character)


def _spaced(text: str, place: int) -> str | None:
    """A name whose characters are set apart at a place: 王 强."""
    match = _APART.match(text, place)
    name = "".join(match[0].split()) if match else ""
    return name if is_name(name) else None


def _foreign(text: str, sure: set[str]) -> set[str]:
    """Names with dots, and those in Latin letters behind a role. Where the last part of one with dots ends is where the
    text has the same beginning most often, else what makes the rest most likely."""
    found, times = {m["name"] for m in _LATIN.finditer(text)}, cache(text.count)  # long texts repeat their names
    for match in FOREIGN.finditer(text) if any(dot in text for dot in DOTS) else ():
        written = _CALLED.sub("", match[0])
        if text.endswith("《", 0, match.start()) or ANONYMISED.search(written) or any(name in written for name in sure):
            continue
        written = _LEADS.sub("", written)
        *_, last = written.rpartition(next(one for one in reversed(written) if not _is_ideograph(one)))
        ends = {size: written[: len(written) - len(last) + size] for size in range(1, len(last) + 1)}
        counts = {size: times(name) for size, name in ends.items() if size > 1 or len(last) == 1}
        most = max(counts.values())
        again = [size for size in counts if size > 2 and times(last[:size]) > 1]  # the last part stands alone
        right = text[match.end() : match.end() + 8]
        best = max(
            (size for size, count in counts.items() if count == most or most == 1) if most > 1 or not again else again,
            key=lambda size: -5.0 * size + likelihood(last[size:] + right) if most == 1 and not again else size,
        )
        found.add(ends[best])
    return found


def _organisation(text: str, start: int, end: int) -> bool:
    """Whether what begins at a place is the name of a company or authority."""
    piece = text[start : min(end, start + 30)]
    last = _ORGANISATION.search(piece)
    return bool(last and last.start() >= 2 and not _FUNCTION_WORD.search(piece[: last.start()]))


def _settled(text: str, name: str, found: set[str], sure: set[str]) -> str:
    """A name, shortened by its last character where the shorter one stands alone as often: 王五停(放) is 王五; and made
    longer by the character that follows it everywhere: 王小(五) is 王小五."""
    size = len(name) - len(surname(name))
    if name in sure or not all(map(_is_ideograph, name)):
        return name
    shorter, count = name[:-1], text.count(name)
    if size > 1:
        if any(f"{one}{joint}{two}" in text for joint in _JOINT for one, two in ((name, shorter), (shorter, name))):
            return name  # 张三丰与张三
        others = sum(text.count(one) for one in found if one != shorter and one.startswith(shorter))
        return shorter if shorter in sure or (shorter in found and text.count(shorter) - others >= count) else name
    after = text[text.find(name) + len(name) :][:1]
    return name + after if count > 1 and text.count(name + after) == count and after and usual(name + after) else name


def person_spans(text: str, names: Sequence[str], kept: Sequence[tuple[int, int]]) -> list[Span]:
    """Every place of these names in an aligned text, but for those within ``kept``, and those where the name is part
    of a word, a place or a company."""
    written = {name if LATIN.fullmatch(name) else "".join(name.split()) for name in names if name}
    if not written:
        return []
    parts = _parts(written)
    longest = sorted({*written, *parts}, key=len, reverse=True)
    pattern = regex.compile(
        "|".join(_GAP.join(map(regex.escape, n)) if len(n) < 4 else regex.escape(n) for n in longest)
    )
    found = []
    for match in pattern.finditer(text):
        name = "".join(match[0].split()) if not LATIN.fullmatch(match[0]) else match[0]
        start, end = match.span()
        if any(first < end and start < last for first, last in kept) or not _stands(text, start, end, name):
            continue
        if "\n" in match[0] and _HEADING.match(text, end - 1):
            continue
        found.append(Span(start, end, "person", parts.get(name, name)))
    return found


def _parts(names: set[str]) -> dict[str, str]:
    """Parts of names with dots, by which these people are also called: 吐尔逊 of 买买提·吐尔逊. What is part of two
    names, or is a name itself, stands for itself."""
    whole: dict[str, list[str]] = {}
    for name in names:
        for part in regex.split(f"[{DOTS}]", name) if FOREIGN.fullmatch(name) else ():
            if is_written_by_sound(part) and part not in names:
                whole.setdefault(part, []).append(name)
    return {part: owners[0] if len(owners) == 1 else part for part, owners in whole.items()}


def _stands(text: str, start: int, end: int, name: str) -> bool:
    """Whether a name stands for the person at a place."""
    if regex.match(r"某|(?:律师|会计师)事务所|\p{Han}{0,6}有限(?:责任)?公司|(?:省|市|县|区)(?!别)", text, pos=end):
        return False
    free = not text[start - 1 : start].strip() or not regex.match(r"\p{Han}", text[start - 1]) or end == len(text)
    return (
        free
        or not is_word(name)
        or text[start - 1] in _LEADING
        or bool(_CALLED.search(text, max(0, start - 30), start))
    )
