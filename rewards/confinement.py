"""What a reward's process may do: a clean environment, reading, and writing in its own temporary folder.

Everything here is the kernel's own: Landlock for files, signals and other processes, seccomp for system calls, a mount
namespace for shared memory. It needs no rights and no package. Each part is left out where the kernel lacks it.

Sources: linux/landlock.h, linux/seccomp.h, the tables of system calls of both machines, capabilities(7).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Mapping
from fnmatch import fnmatchcase

ALLOWED = (
    "PATH", "HOME", "USER", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV",
    "PYTHONPATH", "PYTHONHOME", "PYTHONUTF8", "PYTHONIOENCODING", "PYTHONHASHSEED", "PYTHONWARNINGS",
    "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONFAULTHANDLER", "PYTHONMALLOC",
    "OMP_*", "KMP_*", "OPENBLAS_*", "MKL_*", "NUMEXPR_*", "TOKENIZERS_PARALLELISM",
    "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE",
)  # fmt: skip
"""Names of the environment variables that a worker gets; ``*`` stands for any ending."""


def clean_environment(given: Mapping[str, str]) -> dict[str, str]:
    """The variables of an environment that a worker gets, without any GPU."""
    kept = {name: value for name, value in given.items() if any(fnmatchcase(name, one) for one in ALLOWED)}
    return {**kept, "CUDA_VISIBLE_DEVICES": ""}


FILES, SIGNALS, CALLS, SHARED_MEMORY = "files", "signals", "system calls", "shared memory"
PARTS = (FILES, SIGNALS, CALLS, SHARED_MEMORY)
"""The parts of the confinement."""


def confine(folder: str, shared_mb: int, network: bool) -> list[str]:
    """Confine this process and all that it will start, for good.

    Writing is left in ``folder``, and in a shared memory of its own of ``shared_mb`` MB. Returns the parts that this
    kernel has: files, signals, system calls, shared memory.
    """
    found = [SHARED_MEMORY] if _own_shared_memory(shared_mb) else []
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    found += _restrict_files([folder, "/dev/shm"] if found else [folder], network)
    _drop_capabilities()
    return found + ([CALLS] if _refuse_calls(network) else [])


_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 22, 38

# Landlock: the rights to write, by the version of the interface that brought them.
_WRITE_FILE, _TRUNCATE, _IOCTL_DEV = 1 << 1, 1 << 14, 1 << 15
_MAKE_AND_REMOVE = sum(1 << bit for bit in range(4, 13))
_REFER = 1 << 13
_BIND_AND_CONNECT, _ABSTRACT_SOCKETS, _SIGNALS = 3, 1, 2


def _restrict_files(folders: list[str], network: bool) -> list[str]:
    """No writing outside folders; no signal to, and no look into, a process outside."""
    version = _libc.syscall(444, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return []
    rights = _WRITE_FILE | _MAKE_AND_REMOVE
    rights |= (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0) | (_IOCTL_DEV if version >= 5 else 0)
    sockets = _BIND_AND_CONNECT if version >= 4 and not network else 0
    scopes = (_SIGNALS | (0 if network else _ABSTRACT_SOCKETS)) if version >= 6 else 0
    rules = struct.pack("=QQQ", rights, sockets, scopes)
    rule_set = _libc.syscall(444, rules, ctypes.c_size_t(len(rules)), 0)
    if rule_set < 0:
        return []
    for path in [*folders, "/dev/null", "/dev/zero", "/dev/full"]:
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        allowed = rights if path in folders else rights & (_WRITE_FILE | _TRUNCATE | _IOCTL_DEV)
        _libc.syscall(445, rule_set, 1, struct.pack("=Qi", allowed, place), 0)
        os.close(place)
    failed = _libc.syscall(446, rule_set, 0)
    os.close(rule_set)
    return [] if failed else [FILES, *([SIGNALS] if scopes else [])]


# What Landlock does not see: sockets of any kind, io_uring (which opens them too), the memory of other processes, the
# keyrings of the kernel, modes, owners and attributes of files.
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_SOCKET = {"x86_64": 41, "aarch64": 198}
_REFUSED = {
    "x86_64": (
        101, 310, 311, 438, 425,  # ptrace, process_vm_readv, process_vm_writev, pidfd_getfd, io_uring_setup
        248, 249, 250,  # add_key, request_key, keyctl
        90, 91, 268, 452, 92, 93, 94, 260,  # chmod, fchmod, fchmodat, fchmodat2, chown, fchown, lchown, fchownat
        188, 189, 190, 197, 198, 199, 463, 466,  # setxattr, lsetxattr, fsetxattr, three removexattr, both …at
    ),
    "aarch64": (117, 270, 271, 438, 425, 217, 218, 219, 52, 53, 452, 54, 55, 5, 6, 7, 14, 15, 16, 463, 466),
}  # fmt: skip
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM


def _refuse_calls(network: bool) -> bool:
    """Answer some system calls with "not permitted"; true if the kernel does so."""
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        return False
    numbers = [*_REFUSED[machine], *([] if network else [_SOCKET[machine]])]
    load, equal, at_least, answer = 0x20, 0x15, 0x35, 0x06
    steps = [
        (load, 0, 0, 4), (equal, 0, len(numbers) + 3, _ARCHITECTURES[machine]),  # calls of a 32-bit program: refused
        (load, 0, 0, 0), (at_least, len(numbers) + 1, 0, 0x40000000),  # the x32 names of the same calls
    ]  # fmt: skip
    steps += [(equal, len(numbers) - place, 0, number) for place, number in enumerate(numbers)]
    steps += [(answer, 0, 0, _ALLOW), (answer, 0, 0, _REFUSE)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(code)))
    return bool(_libc.prctl(_PR_SET_SECCOMP, 2, program, 0, 0) == 0)


def _drop_capabilities() -> None:
    """Keep nothing of root, except that it reads every file."""
    kept = 1 << 2  # CAP_DAC_READ_SEARCH, which is in vain where it was not held
    header = struct.pack("=Ii", 0x20080522, 0)
    if _libc.capset(header, struct.pack("=6I", kept, kept, 0, 0, 0, 0)) != 0:
        _libc.capset(header, bytes(24))


_NEW_MOUNTS, _NEW_USERS = 0x00020000, 0x10000000


def _own_shared_memory(size_mb: int) -> bool:
    """Put an empty /dev/shm over the one that models and data pass through; false where that is not allowed.

    Multiprocessing keeps its locks there, so without one of its own a reward has none.
    """
    users = os.geteuid() != 0
    # Tried in a copy first: half a namespace, in which this user has no name, can't be left again.
    copy = os.fork()
    if copy == 0:
        os._exit(0 if _mount_shared_memory(size_mb, users) else 1)
    return os.waitpid(copy, 0)[1] == 0 and _mount_shared_memory(size_mb, users)


def _mount_shared_memory(size_mb: int, users: bool) -> bool:
    user, group = os.geteuid(), os.getegid()
    if _libc.unshare(_NEW_MOUNTS | (_NEW_USERS if users else 0)) != 0:
        return False
    try:
        for name, text in (
            ("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")
        ) if users else ():  # fmt: skip
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    except OSError:
        return False
    recursive_private, no_programs = 0x4000 | 0x40000, 2 | 4
    return bool(
        _libc.mount(None, b"/", None, ctypes.c_ulong(recursive_private), None) == 0
        and _libc.mount(
            b"rewards", b"/dev/shm", b"tmpfs", ctypes.c_ulong(no_programs), f"size={size_mb}m,mode=1777".encode()
        )
        == 0
    )
