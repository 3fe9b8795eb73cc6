"""``python -m rewards.worker``: scores samples in a process that may be killed at any time.

A socket that nobody else holds carries one JSON object a line each way. First the parts of the sum, answered by
``{"ready": …}`` or ``{"error": …}``; then samples, each answered by its verdict. Every request brings a random token,
and the line that starts with it is its answer: whatever else is written into the socket is none. What a reward prints
goes to standard error.
"""

import json
import os
import resource
import signal
import socket
import sys
from dataclasses import asdict
from typing import Any

from rewards.confinement import confine
from rewards.lifetime import die_with_parent, supervised
from rewards.registry import Part
from rewards.total import compose, score
from rewards.verdict import Sample, Verdict, shortened

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
    """``PARENT DESCRIPTOR FOLDER MEMORY_MB NETWORK``: answer until the socket's other end is closed."""
    parent, descriptor, folder, memory_mb, network = sys.argv[1:]
    supervised(int(parent), int(descriptor), folder)
    channel = socket.socket(fileno=int(descriptor))
    channel.set_inheritable(False)
    process = os.getpid()
    os.register_at_fork(after_in_child=lambda: os.close(int(descriptor)) if os.getppid() == process else None)
    confined = confine(folder, int(memory_mb), network == "network")
    die_with_parent()  # again: Linux forgets it when a process gives up rights
    memory = int(memory_mb) * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    total = None
    for line in channel.makefile("rb"):
        token, _, content = line.partition(b" ")
        request = json.loads(content)
        if "parts" in request:
            try:
                total = compose(parts := decode_parts(request["parts"]))
                for name, part in parts.items():
                    if ":" not in name:  # loads what the library needs, so that no verdict's time is spent on it
                        score(name, PROBE, part.options)
                answer: dict[str, Any] = {"ready": confined}
            except Exception as error:
                answer = {"error": shortened(f"{type(error).__name__}: {error}")}
        else:
            assert total is not None
            answer = _verdict(total, Sample(*request["sample"]))
        if os.getpid() != process:  # a copy that a reward forked and left running: one sample has one answer
            os._exit(0)
        if any(sign in answer.get("error", "") for sign in SHORT_OF_MEMORY):
            answer["error"] += f"; {short_of_memory(int(memory_mb))}"
        channel.sendall(b"\n%b %b\n" % (token, json.dumps(answer).encode()))


def short_of_memory(memory_mb: int) -> str:
    """What to do when a reward does not fit into its worker."""
    return f"a worker has {memory_mb} MB of address space: raise reward.memory_mb if the reward needs more"


def _verdict(total: Any, sample: Sample) -> dict[str, Any]:
    try:
        found: Verdict = total(sample)
    except BaseException as error:  # such as KeyboardInterrupt: nobody is at the keyboard of a worker
        found = Verdict.failed(shortened(f"a reward raised {type(error).__name__}: {error}"))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)  # an alarm that a reward left on would end the next one
    return found.to_json()


if __name__ == "__main__":
    main()
