"""A LoRA adapter on a model of yours: python examples/lora.py model.path=FOLDER [key=value …]"""

import sys
from pathlib import Path

from rl import load_config, run

curriculum = Path(__file__).with_name("lora.yaml")
words = ("model=hf", "model.name=lora", "model.lora_rank=16", "model.lora_alpha=32", "model.max_length=1024")
result = run(load_config(f"curriculum={curriculum}", *words, *sys.argv[1:]))
print(f"{result.plan.parameters or 0:,} weights, of which only the adapter's are trained")
for stage, folder in result.exports.items():
    print(f"after {stage}: {folder}")  # the adapter is merged, so it loads as any model
