"""``python -m rewards.worker``: scores samples in a process that may be killed at any time.

One JSON object a line each way. First the parts of the sum, answered by ``{"ready": true}`` or ``{"error": …}``; then
samples, each answered by its verdict. What a reward prints goes to standard error.
"""

import json
import os
import resource
import signal
import sys
from dataclasses import asdict
from typing import Any

from rewards.lifetime import die_with_parent
from rewards.registry import Part
from rewards.total import compose, score
from rewards.verdict import Sample, Verdict

PROBE = Sample("下列说法正确的是？\nA. 甲\nB. 乙", "<think>依《刑法》第一条。</think><answer>A</answer>", "A", "choice")
"""What rewards are tried on before a run."""
SHORT_OF_MEMORY = ("MemoryError", "annot allocate memory", "failed to map segment", "can't start new thread")
"""What Python, the loader and libraries say when the address space is used up."""


def encode_parts(parts: dict[str, Part]) -> dict[str, Any]:
    """Parts as JSON values."""
    return {name: asdict(part) for name, part in parts.items()}


def decode_parts(record: dict[str, Any]) -> dict[str, Part]:
    """Parts from JSON values."""
    return {name: Part(**part) for name, part in record.items()}


def main() -> None:
    """Answer until standard input ends."""
    die_with_parent()  # a hung reward would never notice that its input has ended
    memory = int(sys.argv[1]) * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    total, process = None, os.getpid()
    for line in requests:
        request = json.loads(line)
        if "parts" in request:
            try:
                total = compose(parts := decode_parts(request["parts"]))
                for name, part in parts.items():
                    if ":" not in name:  # loads what the library needs, so that no verdict's time is spent on it
                        score(name, PROBE, part.options)
                answer: dict[str, Any] = {"ready": True}
            except Exception as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
        else:
            assert total is not None
            answer = _verdict(total, Sample(*request["sample"]))
        if os.getpid() != process:  # a copy that a reward forked and left running: one sample has one answer
            os._exit(0)
        if any(sign in answer.get("error", "") for sign in SHORT_OF_MEMORY):
            answer["error"] += f"; {short_of_memory(int(sys.argv[1]))}"
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def short_of_memory(memory_mb: int) -> str:
    """What to do when a reward does not fit into its worker."""
    return f"a worker has {memory_mb} MB of address space: raise reward.memory_mb if the reward needs more"


def _verdict(total: Any, sample: Sample) -> dict[str, Any]:
    try:
        found: Verdict = total(sample)
    except BaseException as error:  # such as KeyboardInterrupt: nobody is at the keyboard of a worker
        found = Verdict.failed(f"a reward raised {type(error).__name__}: {error}")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)  # an alarm that a reward left on would end the next one
    return found.to_json()


if __name__ == "__main__":
    main()
