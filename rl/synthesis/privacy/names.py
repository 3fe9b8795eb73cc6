"""Chinese names: surnames, what a name looks like, and how likely a piece of text is one."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import regex

from rewards.rules.rouge import segmenter

_FREQUENT = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗"
"""The twenty surnames that about half of all people have."""
_USUAL = (
    "傅洪赖丘代郑梁谢宋唐许韩邓冯曹彭曾肖萧田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白"
    "邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤"
)
_RARE = (
    "畅木宇稽台僧扬保勒塔措旦扎次洛格仁桑拉玛达瓦嘎常酆昌凤花云水柏贲滑荀封芮羿汲邴松井弓牧山宓蓬仰秋暴钭蓟怀籍从"
    "双莘贡扶堵宰郦却璩濮寿宦鱼慎庾暨衡步弘禄殳沃蔚越夔厍融訾阚毋养巢蒯后红桓昝鄂习竺逯糜竹粘同首雒谯偰佴隗芈郇郏"
    "鄣由危冒苑呙郗逄郐缑亢晁笪年佘佟候闪折问琚禚邸郄蹇乜昃修线原么咸戢初银回撒买阎温康施文牛樊葛邢安齐易乔伍庞颜"
    "倪庄聂章鲁岳翟殷詹申欧耿关兰焦俞左柳甘祝包宁尚符舒阮柯纪梅童凌毕单季裴霍涂成苗谷盛曲翁冉骆蓝路游辛靳管柴蒙鲍"
    "华喻祁蒲房滕屈饶解牟艾尤阳时穆农司卓古吉缪简车项连芦麦褚娄窦戚岑景党宫费卜冷晏席卫米宗瞿桂全应臧闵苟邬边卞姬"
    "师和仇栾隋商刁沙荣巫寇郎甄丛仲虞敖巩明池查麻迟邝官谈匡鞠惠荆乐冀郁胥南班储栗燕楚鄢劳谌奚皮粟冼蔺楼盘满闻位厉"
    "伊仝区郜海权强帅屠豆朴盖练廉禹祖漆巴丰支卿国狄平计索宣晋相门容敬来扈都普阙浦戈伏鹿薄雍辜羊阿乌母裘亓邰赫杭况"
    "那宿鲜印隆茹诺战慕玉嵇公哈湛宾戎勾茅利於呼居揭干但尉冶斯元束檀衣信展阴智幸奉植富尧闭"
)
COMPOUND = (
    "欧阳|上官|司马|诸葛|皇甫|东方|尉迟|公孙|慕容|长孙|宇文|司徒|夏侯|端木|令狐|轩辕|南宫|独孤|澹台|公冶|宗政|濮阳|淳于|太叔|申屠|仲孙"
    "|钟离|鲜于|闾丘|亓官|司寇|呼延|东郭|完颜|纳兰|叶赫|拓跋|赫连|万俟|闻人|梁丘|左丘|谷梁|贺兰"
)
_COMPOUNDS = frozenset(COMPOUND.split("|"))
SURNAMES = frozenset(_FREQUENT + _USUAL + _RARE)
_FIRST = SURNAMES | {name[0] for name in _COMPOUNDS}
_FUNCTION = frozenset(
    "于何向曾任方和时应全安成常经都后由会那能元支单解查明申平连关管计居温高费满路万因信尚但来有又是位强权项公官当"
    "从双云步越红花水秋山松代保木台次达拉格塔初束衣利展植宣索巴门容相练盖原户仁勤麻买冒皮苑区包羊养同牛阿库"
)
"""Surnames that are more often words of their own."""
INITIALS = "".join(sorted(SURNAMES - _FUNCTION))
"""Surnames of one character that may begin a name without a role before it."""
_GIVEN = frozenset(
    "瑗琰苑馨希羽毓昭冰爽琬茗融园咏卿澜婵雁蓓纨眉岚娴韵"
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华建国文玉红志海兰梅琴春云林金凤飞鹏辉波宁斌浩宇轩子涵梓欣怡佳"
    "思雨嘉俊豪晨阳博雪婷慧莉萍玲倩琳洁燕雯莹颖晶璐瑶蕾薇楠昊天泽睿晓东小永福生祥德才富贵义仁和顺发财长根宝成全胜"
    "利民爱卫光荣庆吉龙虎山水江河峰岩石森木树松柏栋梁材学良忠孝礼智信诚正大立新兴旺世家昌盛安康健乐喜欢元亨通达凯"
    "旋威武震雷电风火炎焱鑫淼银铜铁锋钢锐钧铭锦绣珍珠贝翠琼瑛瑾瑜璇琪琦珊瑞祺祯祖宗先继承绍延续恒久常青素淑贤惠美"
    "好妍娇娥媛婉婵月星辰曦晖昕旭昱晗朝暮夏秋冬香莲荷菊芬芝芸苗茜茹菲萱蓉蓓莎莺菁苹艺彤彩虹霜露冰清澜源泉洪涌潮沛"
    "泓渊润泰川亮友朋伦传仕佑保伯仲叔季少幼君士群众奇巧凡一二三四五六七八九十万千双乾坤振邦定克业功勋勤俭苏鲁豫京"
    "津沪凌霄鸿雁鹤翔翼腾跃进步行远航帆舟济洲运开启迪培育教训道理哲言语诗书画墨棋心灵性情意愿念怀景象图章典雅逸毅"
    "然自煌耀灿烂照映日朗晴岚依妮妹姣姗娣娅婕嫣嫚锁柱栓狗牛娃毛丫弟儿巍峻岭岗崇卓越尚高升兆丰裕盈满仓登科甲来召会"
    "合汉唐楚湘赣皖蜀黎曼佩芹菜深叶茂兵喆鸣堂奎魁尧舜珂玥玮珏琛琨瑄钊钰铎锡镇阁阔陶霖霏韬颢骏骥骁鲲麒麟龄甫亚仪修"
    "偲傲儒冉凝创加励劲卉卿厚可吟咏唯园圆坚城垒基壮声夫奕奔姝姿婧媚宏宛实宾寅寒尔展峥嵘嵩希庭弘彦彪征微徽忆恋恩悦"
    "悠惜愉慕懿戈扬拓捷政敬斐斯旦昀昂昭显晏暄暖曙曜望朔枝枫柔柯柳栩桃桐桑梧棠楷榕槐樱歌汝沁沐沙沫浪淇淮湛溪滔漫潇"
    "澄瀚烁烨焕煜熙爽牧特玄环璟璧甜畅皓益盼真睦硕碧祁祈祎祐禄禹穆竹笑笛筠筱简箫紫纯纲绅绮绿缘羽聪胤臣舒节芙芊芮苇"
    "若范茵荔菡萌葆葵蒙蓝蕊蕙蝶衡誉诺谦谨贞赛赫路迅迎逊逢遥郁醒野铃闯闻陆陵隽雄霆靖韵韶颂飒馨驰驹骞鹃黛齐柄炜炯炳"
    "钦铨鉴键锴晟晧洵浚淦涓潭濮烽煊熊犇玖珅璋甄皎祉祚稷竣笙纬绪缨翎翰耕聆芃芷茗荃荻菱萃蔚薪藩虔蜜裴谊轶辅迢遒邈郎"
    "酉钥钗铄铠锟镔闽隶雍霓靓韦颐飏驿骅鲍鹂斗桥村卜吕团夕夷奚妞妤妲姜孟孺宜宵宽寿尉屹岱峡巡布帝弓彰彻徕忻怿恺惟慈"
    "懋扶抒挺擎敖旗旻晋曹曾末朴杭杲枚染柠栗桓桢梦梵棣椿楼榆欧殿毓汀汐沃沅泊泗泾浙浦涔淳渤漪澎炫烟煦熠燊爵犁狄玛玫"
    "玺珑班琬瑰璨畴皇盟盾砚磐社祝禅秉秦程穗窈端笃策箐篮粮糖绘绢维缇罡翊翩聚肃肖腊艾芒芭花苑苓苒荟荫莞莫菀萧葛董蒋"
    "蒲蓬蔓蔡薛蕴虞蛟蝉裘襄訚许诏诣谋谭谷豆豹贾赐赓赖赞车轲辛边郝郡鄂钟闰阅阵阿际隋集雀零靳鞠音颜颦馥驷鹭麓麦黄鼎"
    "龚里"
)
"""Characters that most given names are made of."""
_DIGITS = frozenset("一二三四五六七八九十百千万双")
_LENGTHS = {1: math.log(0.2), 2: math.log(0.8)}
"""Of a given name, in characters."""
WORD = 40
"""Occurrences in jieba's counts from which two characters are a word, whatever else they may be."""
_PAIRS = (
    "陈述陈列陈旧许可许诺孙子孙女孙儿周转周折周全周详周边张贴张开张望高峰高中高明高升高度高速高额黄金马上马路马达"
    "毛巾毛发江苏江西安保安全安康白天白色白银康复师傅师范成立方正祖父祖母岳父岳母曾祖曾孙银行门第申请石塔石屏石家"
    "林木林荫林立柳树严重严词田地田间童工舒适苏醒荣获荣誉谈及谢谢车上车内车辆连云连胜牟利施工阳光阴冷顾客顾问原谅"
    "原被陆军陆续雷达雷雨雷同齐全路口范围单位时间金额温泉黄石邵阳常住任满任凭明知明白明星初中贺卡高新高考高山王府"
    "向东云南云云文书文本文字武汉武力武进祝贺祝寿章程简章管控麻醉利率利息利润计算计付"
)
_ALSO_WORDS = frozenset(_PAIRS[at : at + 2] for at in range(0, len(_PAIRS), 2))
"""Words that jieba's dictionary calls names, or counts seldom."""
_NO_NAME = regex.compile(
    r"[某×*＊□〇的了是被称说把给]|[甲乙丙丁戊己庚辛壬癸]$|[伍陆][佰仟拾万亿元角圆]|[一二三四五六七八九十]{2}$"
)
ANONYMISED = regex.compile(r"[某×*＊□]|[A-Z]{2}|[甲乙丙丁戊己庚辛壬癸]$")
DOTS = "·•・‧∙•．"
FOREIGN = regex.compile(rf"\p{{Han}}{{1,8}}(?:[{DOTS}]\p{{Han}}{{1,8}}){{1,4}}")
LATIN = regex.compile(r"[A-Z][A-Za-z'’]+(?:[ \-·][A-Z][A-Za-z'’]*\.?){1,4}")


def surname(name: str) -> str:
    """The surname of a name; the first character of one that has none of those known."""
    return name[:2] if name[:2] in _COMPOUNDS and len(name) > 2 else name[:1]


def is_name(piece: str) -> bool:
    """Whether a whole piece has the form of a Chinese name, with a known surname and one or two more characters, or
    of a name with dots."""
    if ANONYMISED.search(piece):
        return False
    if FOREIGN.fullmatch(piece) or LATIN.fullmatch(piece):
        return True
    known = surname(piece)
    sure = known in SURNAMES or known in _COMPOUNDS
    return sure and 1 <= len(piece) - len(known) <= 2 and bool(regex.fullmatch(r"\p{Han}+", piece))


@lru_cache(maxsize=1)
def _words() -> frozenset[str]:
    segmenter()  # reads the dictionary without jieba's warnings
    from jieba import get_dict_file

    with get_dict_file() as file:
        rows = [line.split() for line in file.read().decode("utf-8").splitlines()]
    words = {w for w, count, kind in rows if len(w) == 2 and w[0] in SURNAMES and kind != "nr" and int(count) >= WORD}
    return frozenset(words | _ALSO_WORDS)


def is_word(piece: str) -> bool:
    """Whether two characters, of which the first may be a surname, are a word of the language."""
    return piece in _words()


def find_names(text: str, start: int, end: int, odds: Callable[[int, int], float]) -> list[tuple[int, int]]:
    """The names in a run of ideographs: with them its most likely segmentation into names and words, by jieba's counts
    of words and the frequency of surnames and of characters of given names.

    Args:
        odds: the log-odds that a name stands at (start, end), by what is around it; -inf where none can.
    """
    run = text[start:end]
    names: dict[int, list[tuple[int, float]]] = {}
    for at, first in enumerate(run):
        if first not in _FIRST:
            continue
        for size in _sizes(run, at):
            weight = odds(start + at, start + at + size)
            if weight > -math.inf:
                names.setdefault(at, []).append((size, weight + _name_weight(run[at : at + size])))
    if not names:
        return []
    cutter = segmenter()
    words, counts, total = cutter.get_DAG(run), cutter.FREQ, math.log(cutter.total)
    route: list[tuple[float, int, bool]] = [(0.0, 0, False)] * (len(run) + 1)
    for at in range(len(run) - 1, -1, -1):
        steps = [
            (math.log(counts.get(run[at : last + 1]) or 1) - total + route[last + 1][0], last + 1, False)
            for last in words[at]
        ]
        steps += [(weight + route[at + size][0], at + size, True) for size, weight in names.get(at, ())]
        route[at] = max(steps)
    found, at = [], 0
    while at < len(run):
        _, stop, named = route[at]
        if named:
            found.append((start + at, start + stop))
        at = stop
    return found


def usual(name: str) -> bool:
    """Whether a given name is made of usual characters, without numerals."""
    given = name[len(surname(name)) :]
    return all(one in _GIVEN and one not in _DIGITS for one in given)


def _sizes(run: str, at: int) -> list[int]:
    """Lengths that a name may have at a place."""
    first = 2 if run[at : at + 2] in _COMPOUNDS else 1
    if first == 1 and run[at] not in SURNAMES:
        return []
    return [
        first + given
        for given in _LENGTHS
        if at + first + given <= len(run)
        and not _NO_NAME.search(run[at : at + first + given])
        and (first == 2 or not is_word(run[at : at + 2]))
    ]


def _name_weight(name: str) -> float:
    """Log-probability of a name among names, with a constant."""
    first = surname(name)
    rare = 0.0 if first in _FREQUENT else 1.0 if first in _USUAL or len(first) > 1 else 2.0
    rare += 3.0 if first in _FUNCTION else -6.0 if len(first) > 1 else 0.0
    given = sum(-5.8 if one in _GIVEN else -9.5 for one in name[len(first) :])
    return -3.5 - rare + _LENGTHS[len(name) - len(first)] + given


def likelihood(piece: str) -> float:
    """Log-probability of the best segmentation of a piece into words."""
    if not piece:
        return 0.0
    cutter = segmenter()
    route: dict[int, tuple[float, int]] = {}
    cutter.calc(piece, cutter.get_DAG(piece), route)
    return float(route[0][0])
