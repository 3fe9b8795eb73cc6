"""Short cases: which charge, which article of the Criminal Law."""

import random
from dataclasses import dataclass

from curricula.prompts import Prompt, ask
from curricula.splits import Split, split_of
from curricula.tasks.registry import task
from curricula.tasks.wording import person, phrase


@dataclass(frozen=True)
class Charge:
    """A property crime and the ways in which it is committed."""

    name: str
    article: int
    """Article of the Criminal Law that defines it."""
    mark: str
    """What distinguishes it, in a few characters."""
    means: tuple[str, ...]


CHARGES = (
    Charge("盗窃罪", 264, "秘密窃取", (
        "趁夜撬锁偷走", "扒窃得手", "溜门入室窃取", "翻墙潜入偷走", "趁人熟睡拿走", "配钥匙开门窃走", "砸窗窃得",
        "剪断门锁偷走", "趁店员不备偷得", "在车站偷走",
    )),
    Charge("诈骗罪", 266, "虚构事实", (
        "谎称投资骗取", "冒充客服骗得", "虚构中奖骗走", "假冒军人骗取", "编造病情骗走", "以介绍工作为名骗得",
        "冒充亲属骗取", "虚假网售骗取", "假借恋爱骗走", "伪造证明骗得",
    )),
    Charge("抢夺罪", 267, "公然夺取", (
        "骑摩托车夺走", "当街一把夺过", "飞车夺取", "突然夺下", "趁其不备夺走", "迎面夺取后逃跑", "乘人打电话夺走",
        "从背后夺得", "从车窗夺走", "在路口夺下",
    )),
    Charge("抢劫罪", 263, "暴力胁迫", (
        "持刀逼迫交出", "殴打后劫取", "捆绑后抢走", "用枪威胁劫得", "暴力制服后抢走", "持棍威逼抢得", "掐住脖子劫取",
        "蒙面持刀劫走", "用辣椒水喷射后抢走", "推倒殴打后劫走",
    )),
    Charge("敲诈勒索罪", 274, "要挟索取", (
        "以曝光隐私要挟索要", "威胁举报索取", "扬言报复勒索", "以公开视频相胁索得", "恐吓后索要", "制造事故要挟索取",
        "以揭发丑闻逼要", "寄恐吓信索要", "以毁损名誉相威胁索取", "要挟家属逼要",
    )),
    Charge("职务侵占罪", 271, "单位职务", (
        "任公司出纳侵吞", "作为公司经理截留", "利用公司采购职务占有", "任公司仓管私运", "作为公司会计虚报占有",
        "任公司销售私吞", "利用公司司机职务占有", "作为店长截取", "任公司主管私占", "作为收银员私吞",
    )),
    Charge("贪污罪", 382, "公职侵吞", (
        "任局长侵吞", "作为国企会计窃取", "任镇长虚报骗取", "利用管理公款职务侵吞", "作为公务员截留", "任民政所长套取",
        "作为国企经理私分", "利用财政职务占有", "作为县科长侵占", "任国库出纳侵吞",
    )),
)  # fmt: skip

GOODS = ("现金", "货款", "财物", "首饰", "手机", "款项", "电脑", "名表", "黄金", "药材", "烟酒", "物资")

FRAMES: dict[Split, tuple[str, ...]] = {
    "train": (
        "{who}{means}{goods}。", "据查{who}{means}{goods}，约{amount}万元。", "{who}{means}{goods}，价值{amount}万元。",
        "被告人{who}{means}{goods}。", "经查，{who}{means}{goods}，数额{amount}万元。",
        "当日，{who}{means}{goods}，共{amount}万元。", "检察机关认定{who}{means}{goods}，值{amount}万元。",
        "{who}（{amount}万元案）{means}{goods}。", "{who}因{means}{goods}被抓获，计{amount}万元。",
        "{amount}万元的{goods}被{who}{means}。",
    ),
    "dev": (
        "{who}于日前{means}{goods}，合计{amount}万元。", "嫌疑人{who}被控{means}{goods}，估价{amount}万元。",
        "上月，{who}{means}{amount}万元的{goods}。",
    ),
    "test": ("公诉机关指控{who}{means}{goods}，总值{amount}万元。", "某日，{who}{means}{goods}，折合{amount}万元。"),
}  # fmt: skip


@task("charge")
def charge(rng: random.Random, split: Split) -> Prompt:
    """The charge and the article for a short case of a property crime. Held out by way of committing it and goods."""
    while True:
        found = rng.choice(CHARGES)
        means, goods = rng.choice(found.means), rng.choice(GOODS)
        if split_of("charge", means, goods) == split:
            break
    values = {"who": person(rng, split), "means": means, "goods": goods, "amount": rng.randint(1, 60)}
    question = phrase(rng, FRAMES, split, **values) + "何罪何条？"
    return ask("charge", question, f"{found.name}，刑法第{found.article}条", "charge", found.mark)
