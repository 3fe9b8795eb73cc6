"""Answers judged by a model behind an OpenAI-compatible API: JUDGE_API_KEY=KEY python examples/judge.py URL NAME

The same judge decides rewards of a run: judge=llm judge.base_url=URL judge.model=NAME (docs/guides/own-reward.md).
"""

import os
import sys
from pathlib import Path

import rewards
from rewards.judge.client import JudgeSettings
from rewards.verdict import Sample

url, name = sys.argv[1:3]
judge = JudgeSettings(url, name, os.environ.get("JUDGE_API_KEY"), concurrency=4, requests_per_s=2)
question, right = "甲盗窃3万元，应当依照哪一条定罪？", "刑法第264条"
answers = [
    "<think>甲以非法占有为目的窃取财物，构成盗窃罪。</think><answer>刑法第264条</answer>",
    "<think>大概是诈骗。</think><answer>刑法第266条</answer>",
]
samples = [Sample(question, answer, right, "article") for answer in answers]
weights = {"accuracy": 1.0, "format": 0.1, "rubric": 0.5}  # rules decide the first two, the judge the third
found = rewards.score(weights, samples, judge=judge, judge_cache=Path("judge.sqlite"))
for verdict in found:
    print(verdict.error or f"{verdict.score:.2f} {verdict.parts} {verdict.reason}")
