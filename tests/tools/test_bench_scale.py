"""The actors that sleep in place of engines: what they answer, and when."""

import time
from types import SimpleNamespace

from tools.bench import scale


def test_requests_end_one_after_the_other_at_the_pace_of_an_engine(monkeypatch):
    monkeypatch.setattr(scale, "SAMPLE_S", 0.4)  # for 8 prompts
    engine = scale.SleepingRollout(SimpleNamespace(seed=0))
    began = time.monotonic()
    engine.submit([(f"u{number}", [1]) for number in range(3)], scale.SAMPLES, None, seed=1)
    assert engine.collect(1, patience_s=0.0) == []
    first = engine.collect(1)
    assert [uid for uid, _ in first] == ["u0"] and time.monotonic() - began >= 0.05
    rest = engine.collect(8)
    assert [uid for uid, _ in rest] == ["u1", "u2"] and time.monotonic() - began >= 0.15
    assert engine.collect(8) == [] and len(first[0][1]) == scale.SAMPLES
    assert len({completion.text for completion in first[0][1]}) == 2, "a group without variance trains nothing"
    assert all(len(one.token_ids) == len(one.log_probs) == scale.TOKENS for _, group in rest for one in group)
