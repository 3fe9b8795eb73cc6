"""Your own questions, from a CSV file to a trained model: python examples/own_data.py [key=value …]"""

import csv
import json
import sys
from pathlib import Path

from rl import load_config, run

HERE = Path(__file__).parent
TEST = 8  # questions kept for the test

data = Path("own-data")
data.mkdir(exist_ok=True)
with (HERE / "questions.csv").open(encoding="utf-8", newline="") as file:
    records = [
        {
            "prompt": row["question"],
            "demonstration": f"<think>{row['reasoning']}</think><answer>{row['answer']}</answer>",
            "reference": row["answer"],
            "task": "theft",
        }
        for row in csv.DictReader(file)
    ]
for name, some in (("train", records[TEST:]), ("test", records[:TEST])):
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in some)
    (data / f"{name}.jsonl").write_text(text, encoding="utf-8")

result = run(load_config(f"curriculum={HERE / 'own_data.yaml'}", *sys.argv[1:]))
for found in result.results:
    print(f"after {found.after}: {found.average:.0%} of the test questions are right")
