"""Legal elements of a judgment as JSON (LexPro-1.0: terms in months, a fine is not a compensation)."""

import json
import random

from curricula.prompts import Prompt, ask
from curricula.splits import Split, split_of
from curricula.tasks.charge import CHARGES
from curricula.tasks.registry import task
from curricula.tasks.sentence_terms import spelled
from curricula.tasks.wording import person, phrase

FRAMES: dict[Split, tuple[str, ...]] = {
    "train": (
        "{who}犯{crime}，判处有期徒刑{term}，罚金{fine}万元，赔偿{paid}元。",
        "判决{who}犯{crime}，处有期徒刑{term}，赔偿{paid}元，并处罚金{fine}万元。",
        "{who}因{crime}获刑{term}，罚金{fine}万元，另赔偿{paid}元。",
    ),
    "dev": ("{crime}成立，{who}判有期徒刑{term}，罚金{fine}万元，赔偿被害人{paid}元。",),
    "test": (
        "法院认定{who}犯{crime}，判处有期徒刑{term}，赔偿被害人{paid}元，罚金{fine}万元。",
        "{who}被控{crime}，判处有期徒刑{term}，并处罚金{fine}万元，赔偿{paid}元。",
    ),
}


@task("elements")
def elements(rng: random.Random, split: Split) -> Prompt:
    """Charge, term in months, fine and compensation in yuan, as a JSON object. Held out by term and fine."""
    while True:
        months, fine = rng.randint(6, 180), rng.randint(1, 30)
        if split_of("elements", months, fine) == split:
            break
    crime, paid = rng.choice(CHARGES).name, rng.randint(2, 98) * 500
    values = {"who": person(rng, split), "crime": crime, "term": spelled(months), "fine": fine, "paid": paid}
    question = phrase(rng, FRAMES, split, **values) + "列JSON：罪名、刑期（月）、罚金（元）、赔偿（元）"
    found = {"罪名": crime, "刑期": f"{months}个月", "罚金": f"{fine}0000元", "赔偿": f"{paid}元"}
    years, rest = divmod(months, 12)
    reference = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
    return ask("elements", question, reference, "text", f"12×{years}+{rest}={months}")
