"""Titles of laws as texts write them: prefixes, brackets, years of amendment, and what kind of norm a title names."""

import re
import unicodedata
from functools import lru_cache

_BODIES = re.compile(r"^(?:全国人民代表大会常务委员会|全国人大常委会|全国人民代表大会|全国人大)(?=关于)")
_MARKS = re.compile(r"[\s《》〈〉<>“”\"'‘’]")
_EDITION = re.compile(r"(?:^(?P<before>\d{4}|[79]\d)年?(?=\D))|\((?:(?P<year>\d{4})[^()]*|修正|修订|修改|现行有效)\)$")
_OTHER = re.compile(
    r"(?:解释|规定|条例|办法|细则|批复|纪要|意见|规则|规范|通知|公约|协定|协议|议定书|决定|决议|修正案|标准|指引|指南|答复|章程"
    r"|公告|说明|函|令|目录|方案|纲要|准则|制度|规程|规章|案例|备忘录|声明|宪章|书|解答|问答|汇编|大纲|守则|公报|要点|政策)"
    r"(?:\(.{1,12}\))*(?:[一二三四五六七八九十]+)?$"
)
_ELSEWHERE = re.compile(
    r"台湾|香港|澳门|德国|德意志|法国|法兰西|日本|美国|美利坚|英国|英格兰|意大利|瑞士|奥地利|俄罗斯|苏联|苏俄|韩国|大韩|印度|加拿大"
    r"|澳大利亚|新加坡|欧盟|欧洲|联合国|国际|罗马|中华民国|清|拿破仑|汉谟拉比|示范|统一|草案|征求意见稿|建议稿|试行|暂行"
)
_NO_TITLE = re.compile(
    r"(?:[做方看说想办司立执守违合非依无]|^(?:实体|程序|成文|判例|国内|自然|部门|相关|有关|其他|上位|下位))法$"
)
"""Words that end like titles but name no law."""
_BILLS = {
    "金融法", "金融稳定法", "电信法", "民事强制执行法", "检察公益诉讼法", "托育服务法",
    "儿童托育服务法", "反跨境腐败法", "国家消防救援人员法", "消防救援人员法", "网络犯罪防治法", "商事调解法",
    "数字经济促进法", "社会信用建设法", "消费税法", "不动产登记法", "机关运行保障法", "志愿服务法",
    "广播电视法", "人工智能法", "养老服务法", "空域管理法", "交通运输法", "航天法",
    "自然保护地法", "国土空间规划法", "南极活动与环境保护法", "信访法", "法律职业资格法", "电磁频谱法",
    "粮食法", "住房租赁法", "全民健身法",
}  # fmt: skip
"""Bills that were not yet law on the day of the snapshot; written from memory, not checked against a list."""


@lru_cache(maxsize=4_096)  # the titles of a text are looked up again and again
def plain(title: str) -> str:
    """A title in one standard form: NFKC, without white space, 《》, 中华人民共和国 and the body that adopted it."""
    text = _MARKS.sub("", unicodedata.normalize("NFKC", title)).replace("中华人民共和国", "")
    return _BODIES.sub("", text)


@lru_cache(maxsize=4_096)
def edition(title: str) -> tuple[str, int | None]:
    """(plain title without the year of amendment, that year): 刑法（2020修正） is (刑法, 2020); None without one."""
    text = plain(title)
    found = _EDITION.search(text)
    if found is None or found.span() == (0, len(text)) or text[: found.start()].endswith("修正案"):
        return text, None  # 宪法修正案（2018年） is a name
    year = int(found["before"] or found["year"] or 0)
    return text[: found.start()] + text[found.end() :], (year + 1900 if year < 100 else year) if year else None


def may_exist(title: str) -> bool:
    """Whether a norm of this title may exist though the statutes do not hold it.

    The statutes hold every law of the National People's Congress and its Standing Committee, and what these adopted
    about criminal law. A title that names anything else can't be checked: judicial interpretations, regulations, rules,
    treaties, local and foreign law, drafts. What is left ends in 法 or 法典 and claims to be a national law in force.
    """
    name, _ = edition(title)
    if not re.search(r"(?:法|法典)$", name):
        return True
    return bool(_OTHER.search(name) or _ELSEWHERE.search(name) or _NO_TITLE.search(name))


def is_bill(title: str) -> bool:
    """Whether a title is that of a bill, which may have become law since the statutes were collected."""
    return edition(title)[0] in _BILLS
