"""One curriculum with three learning rates, and the page that compares them: python examples/sweep.py [key=value …]

A command line can't change a stage, so each rate gets a curriculum of its own. What it can change is swept by the
command, also several runs at a time: python -m rl.main -m curriculum=smoke seed=0,1,2 hydra/launcher=parallel
"""

import sys
from pathlib import Path

import yaml

from rl import load_config, run
from rl.config.sources import CONF
from rl.report.comparison import write_comparison

sweep = Path("runs/rates")
sweep.mkdir(parents=True, exist_ok=True)
curriculum = yaml.safe_load((CONF / "curriculum" / "smoke.yaml").read_text(encoding="utf-8"))
(stage,) = [one for one in curriculum["stages"] if one["name"] == "grpo"]
for rate in (1e-4, 3e-4, 1e-3):
    stage["optim"]["lr"] = rate
    file = sweep / f"{rate:g}.yaml"
    file.write_text(yaml.safe_dump(curriculum, allow_unicode=True), encoding="utf-8")
    config = load_config(f"curriculum={file}", f"run_dir={sweep / f'{rate:g}'}", *sys.argv[1:])
    for found in run(config).results[-1:]:
        print(f"lr {rate:g}: {found.average:.0%}")
if not config.plan:
    print(write_comparison(sweep))
