"""Addresses: what follows 住 and its like, and any street, village or estate with a number."""

from __future__ import annotations

import regex

from rl.synthesis.privacy.spans import Span

_REGION = regex.compile(
    r"(?:中国|中华人民共和国)?(?:\p{Han}{2,3}?省|(?:内蒙古|广西壮族|宁夏回族|新疆维吾尔|西藏)自治区|香港特别行政区|澳门特别行政区)?"
    r"(?:\p{Han}{2,7}?(?:自治州|地区|盟(?!路)|市))?(?:\p{Han}{1,10}?(?:自治县|自治旗|新区|开发区|区(?!间)|县|旗(?!舰)|市(?!场)))?"
)
"""Province, city and county, which stay."""
_ANNOUNCED = regex.compile(
    r"(?:住所地|住所|住址|户籍所在地|户籍地址|户籍地|户口所在地|户口地址|经常居住地|居住地|家庭住址|家庭地址|联系地址|通讯地址|通信地址|送达地址|收货地址|现住址|暂住地|暂住处"
    r"|注册地址?|经营场所|营业场所|经营地址?|(?<![抓站记居入寄借])(?:现|家|户籍|暂|均|原|常|同|租|居|分别)?住(?!院|房|宅|宿|户|建|所|处|址|改|进|满|客|在(?:一起|被|同)|过|了|着|社区|场所|条件|地点|环境|小区|期间))"
    r"(?:均|现)?(?:为|是|在|于|位于|:|\s)*"
)
_WHOLE = regex.compile(r"[^,，。;\n()\"“”:]{3,70}")
_MARK = r"(?:大道|大街|路|街|道|巷|胡同|弄|里|村|庄|屯|寨|社区|小区|花园|花苑|家园|公寓|大厦|广场|苑|城|坊|镇|乡|园)"
_NUMBER = r"(?:[A-Za-z]?\d{1,5}|[一二三四五六七八九十百〇零]{1,5})"
_UNIT = r"(?:号院|号楼|号(?![口线店厅桌机])|弄|栋|幢|座|单元|组|队|层|楼|室|户|区|期|门|排|铺)"
_DOOR = regex.compile(rf"(?<!\d){_NUMBER}(?:[-—附之]{{1,2}}\d{{1,4}}){{0,2}}{_UNIT}")
_MARKED = regex.compile(_MARK)
_ROAD = regex.compile(r"(?:大道|大街|路|街|巷|胡同)$")
"""At the end of a line, when the number is in the next."""
_BETWEEN = regex.compile(r"[\p{Han}A-Za-z]{0,8}")
_BEHIND = regex.compile(
    r"(?:\d{2,5}(?!\d))?(?:\p{Han}{2,5}(?:小区|花园|家园|花苑|公寓|大厦|苑|新村|广场)"
    r"(?:\d{1,4}(?:号楼|号|栋|幢|座|单元|室|楼|层|-\d{1,4}){1,2}){0,4}(?:\d{3,4})?)?"
)
"""The estate behind a number, and a room without a unit."""
_VILLAGE = regex.compile(
    r"\p{Han}{2,6}?(?:镇|乡|街道)\p{Han}{2,8}?(?:村(?!委|民|支)|社区)"
    r"(?:第?[\d一二三四五六七八九十]{1,3}(?:村民小组|组|社|队|号)){0,2}"
)
_FARTHEST = 30
"""Characters before a number that an address may begin with."""
_LEFT = regex.compile(
    r"^.*(?:位于|坐落于|座落于|坐落|前往|来到|窜至|行至|行驶至|途经|进入|到达|送至|寄往|回到|返回|地址为|[在至到于从往由经对将的与和及、住回])(?=.{3})"
)
_NEXT_LINE = regex.compile(
    rf"(?:(?<={_UNIT})\n {{0,4}}(?={_NUMBER}(?!号[^院楼]){_UNIT})"
    rf"|(?<!{_UNIT})\n {{0,4}}(?=(?:{_MARK})?{_NUMBER}{_UNIT})"
    rf"|(?<=\d)\n {{0,4}}(?={_UNIT}))"
    r"[^,，。;\n()\"“”:]{1,40}"
)
"""The rest of an address in the next line, which begins with a number or what belongs to one."""
_SIGN = regex.compile(r"[路街道巷村镇乡庄屯寨组队号栋幢座室楼院区县市省园苑城]|小区|社区|胡同|公寓|大厦|广场")
_OTHER = regex.compile(
    r"[ \t]*(?:,|邮编|邮政编码|电话|联系|公民身份|身份证|统一社会|法定代表|系本|系被|因涉|因本|、(?=[^\d])|期间|附近的?"
    r"|的(?=房屋|家|住处|房产))"
)
_HIDDEN = regex.compile(r"[某×*＊X□]|地址\d")


def address_spans(text: str) -> list[Span]:
    """Addresses of an aligned text, without the province, city and county that they begin with."""
    found = []
    for match in _ANNOUNCED.finditer(text):
        whole = _WHOLE.match(text, match.end())
        if whole and _SIGN.search(whole[0]) and _together(whole[0].split()):
            end = whole.start() + len(_until(whole[0]))
            more = _NEXT_LINE.match(text, end)
            found.append((whole.start(), end + len(_until(more[0])) if more else end))
    taken = {at for one in found for at in range(*one)}
    for start, end in [*_doors(text), *(match.span() for match in _VILLAGE.finditer(text))]:
        if start not in taken and end - 1 not in taken:
            lead = _LEFT.match(text[start:end])
            found.append((start + (lead.end() if lead else 0), end))
            taken.update(range(start, end))
    return [span for one in found if (span := _without_region(text, *one))]


def _together(parts: list[str]) -> bool:
    """Whether parts with spaces between are one address: few of them, or its characters set apart."""
    return len(parts) <= 3 or max(map(len, parts[1:])) <= 2


def _doors(text: str) -> list[tuple[int, int]]:
    """Streets, villages and estates with a number: 建设路88号3栋2单元501室."""
    found: list[tuple[int, int]] = []
    for match in _DOOR.finditer(text):
        last = found[-1][1] if found else 0
        if found and (match.start() < last or _BETWEEN.fullmatch(text, last, match.start())):
            found[-1] = (found[-1][0], max(last, _end(text, match.end())))
            continue
        start = match.start()
        if text[start - 1 : start] == "\n" and _ROAD.search(text, max(0, start - 4), start - 1):
            start -= 1
        while start > max(last, match.start() - _FARTHEST) and text[start - 1].isalnum():
            start -= 1
        if _MARKED.search(text, start, match.start()):
            found.append((start, _end(text, match.end())))
    return found


def _end(text: str, place: int) -> int:
    behind = _BEHIND.match(text, place)
    return int(behind.end()) if behind else place


def _until(piece: str) -> str:
    """A piece up to the words that no longer belong to the address."""
    end = _OTHER.search(piece)
    return piece[: end.start()].rstrip() if end else piece.rstrip()


def _without_region(text: str, start: int, end: int) -> Span | None:
    region = _REGION.match(text, start, end)
    begin = region.end() if region else start
    rest = text[begin:end]
    if len(rest) < 2 or _HIDDEN.search(rest) or not (_SIGN.search(rest) or begin > start):
        return None
    return Span(begin, end, "address", "".join(rest.split()))
