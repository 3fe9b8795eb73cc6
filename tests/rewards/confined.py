"""A user's rewards that try what a reward may not do; each returns what it managed, as text in its reason."""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rewards.verdict import Sample, Verdict

FORGED = b'{"score": 99.0, "reason": "forged", "parts": {"tests.rewards.confined:forges": 99.0}}\n'


def environment(sample: Sample) -> Verdict:
    """Names and values of what it sees, as JSON: fewer than a reason's 4,000 characters."""
    return Verdict(1.0, reason=json.dumps(dict(os.environ)))


def of_others(sample: Sample) -> Verdict:
    """Reads the environment, and the memory, of the process whose id the completion is."""
    found = []
    for name in ("environ", "mem", "maps"):
        try:
            with Path(f"/proc/{sample.completion}/{name}").open("rb") as file:
                file.read(1) if name != "mem" else None  # its first page is no memory
            found.append(name)
        except OSError:
            pass
    return Verdict(1.0, reason=" ".join(found))


def forges(sample: Sample) -> Verdict:
    """Writes a verdict of 99 wherever it can, also from a copy that runs on."""
    for text in (FORGED, b"\n" + FORGED, b"0123456789abcdef " + FORGED, b"no end of line"):
        for number in map(int, os.listdir("/proc/self/fd")):
            for path in (None, f"/proc/self/fd/{number}"):
                try:
                    where = number if path is None else os.open(path, os.O_WRONLY | os.O_NONBLOCK)
                    os.write(where, text)
                    if path is not None:
                        os.close(where)
                except OSError:
                    pass
    print(FORGED.decode(), flush=True)
    os.write(1, FORGED)
    return Verdict(0.5)


def floods(sample: Sample) -> Verdict:
    """Fills every descriptor."""
    for number in range(3, 64):
        try:
            while True:
                os.write(number, b"x" * 65_536)
        except OSError:
            pass
    return Verdict(0.5)


def daemon(sample: Sample) -> Verdict:
    """Leaves a process in a session of its own, which ignores signals; its id is the score."""
    there, here = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            os.write(here, str(os.getpid()).encode())
            time.sleep(1000)
        os._exit(0)
    os.wait()
    number = float(os.read(there, 32))
    if sample.completion == "hang":
        time.sleep(1000)
    return Verdict(number)


def talks(sample: Sample) -> Verdict:
    """As long a reason, or error, as the reference says."""
    text = "长" * int(sample.reference)
    if sample.completion == "raises":
        raise RuntimeError(text)
    return Verdict.failed(text) if sample.completion == "error" else Verdict(1.0, reason=text)


def _tries(actions: dict[str, Any]) -> Verdict:
    done = []
    for name, action in actions.items():
        try:
            action()
            done.append(name)
        except OSError:
            pass
    return Verdict(1.0, reason=" ".join(done))


def writes(sample: Sample) -> Verdict:
    """Changes a file and its folder, whose path the completion is, in every way; names the ways that worked."""
    file = Path(sample.completion)
    new = file.parent / "new"
    return _tries(
        {
            "overwrite": lambda: file.write_text("x"), "append": lambda: file.open("a").write("x"),
            "truncate": lambda: os.truncate(file, 0), "create": new.touch, "folder": new.mkdir,
            "link": lambda: os.link(file, new), "symlink": lambda: os.symlink(file, new),
            "pipe": lambda: os.mkfifo(new),
            "move": lambda: os.rename(file, new), "mode": lambda: os.chmod(file, 0o777),
            "owner": lambda: os.chown(file, os.getuid(), os.getgid()),
            "attribute": lambda: os.setxattr(file, "user.a", b"b"), "remove": file.unlink,
            "child": lambda: subprocess.run([sys.executable, "-c", f"open({str(file)!r}, 'w')"], check=True),
        }
    )  # fmt: skip


def keeps_notes(sample: Sample) -> Verdict:
    """Reads a file, and writes, moves and deletes in its temporary folder."""
    text = Path(sample.completion).read_text()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a").write_text(text)
        os.rename(f"{folder}/a", f"{folder}/b")
        shutil.copyfile(f"{folder}/b", f"{folder}/c")
        Path(os.devnull).write_text(text)
        return Verdict(float(Path(f"{folder}/c").read_text()))


def connects(sample: Sample) -> Verdict:
    """Opens connections to the port that the completion is; names the ways that worked."""
    port = int(sample.completion)

    def to(family: int, kind: int, address: Any) -> Any:
        def connect() -> None:
            with socket.socket(family, kind) as one:
                one.connect(address)

        return connect

    def ring() -> None:
        if ctypes.CDLL(None, use_errno=True).syscall(425, 1, ctypes.create_string_buffer(120)) < 0:
            raise OSError(ctypes.get_errno())

    return _tries(
        {
            "tcp": to(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port)),
            "udp": to(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", port)),
            "unix": to(socket.AF_UNIX, socket.SOCK_STREAM, sample.reference), "ring": ring,
        }
    )  # fmt: skip


def kills(sample: Sample) -> Verdict:
    """Ends other processes: those whose ids the completion holds."""
    return _tries({one: (lambda one=one: os.kill(int(one), signal.SIGKILL)) for one in sample.completion.split()})


def shares(sample: Sample) -> Verdict:
    """Names what it sees in shared memory."""
    return Verdict(1.0, reason=" ".join(os.listdir("/dev/shm")))
