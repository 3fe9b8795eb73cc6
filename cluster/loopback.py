"""A local Ray is for this machine and this user alone: it listens on loopback, and its ports ask for a token."""

from __future__ import annotations

import ipaddress
import os
import secrets
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cluster.errors import ClusterError

MODE = "RAY_AUTH_MODE"
GIVEN = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
"""Variables by which a user gives Ray a token; without them it is in the home folder."""
ONE_MACHINE = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo", "VLLM_HOST_IP": "127.0.0.1"}
"""Variables that keep on loopback what gloo, NCCL and vLLM open, for processes that have no peer elsewhere."""
LOCKED = "install the locked packages (make setup)"


def require_token() -> None:
    """Let the Ray that this process starts ask for a token, which is made if the user has none.

    Raises:
        ClusterError: if this Ray has no token authentication, or the token can't be read or written.
    """
    try:
        from ray._private.authentication.authentication_token_setup import _enable_token_auth
    except ImportError:
        raise ClusterError(f"this Ray can't ask for a token, so others could use it; {LOCKED}") from None
    if os.environ.get(MODE, "token").lower() != "token":
        print(f"{MODE}={os.environ[MODE]} is not used: a local Ray asks for a token", file=sys.stderr, flush=True)
    if not any(os.environ.get(name) for name in GIVEN):
        _require_private(Path.home() / ".ray/auth_token")
    _enable_token_auth()


def _require_private(path: Path) -> None:
    """A token in a file that the user alone can read. Ray would write one that all users can read."""
    try:
        if path.is_file() and path.read_text(encoding="utf-8").strip():
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & 0o077:
                path.chmod(mode & 0o700)
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(dir=path.parent)  # of mode 0600
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secrets.token_hex(32))
        try:
            if path.exists():  # without a token in it
                os.replace(partial, path)
            else:
                with suppress(FileExistsError):  # of two runs that start at once one makes the token
                    os.link(partial, path)
        finally:
            Path(partial).unlink(missing_ok=True)
    except (OSError, UnicodeDecodeError) as error:
        raise ClusterError(
            f"Ray's token in {path} can't be used ({error}); remove that file, or name another one in {GIVEN[1]}"
        ) from None


@contextmanager
def loopback_node() -> Iterator[None]:
    """Within it, a Ray that is started has its node on loopback, where all its ports listen, and one on loopback can be
    joined.

    Otherwise Ray replaces 127.0.0.1, wherever it is given, by the address of a network interface. Ray's own switch is
    an environment variable that is read when ray is imported.
    """
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def require_closed() -> None:
    """Check that the Ray of this process is what :func:`loopback_node` and :func:`require_token` promise.

    Raises:
        ClusterError: if it listens to other machines, or asks for no token.
    """
    from ray.util import get_node_ip_address

    address = get_node_ip_address()
    if not is_loopback(address):
        raise ClusterError(f"the local Ray listens on {address}, not on loopback; {LOCKED}")
    if not asks_for_token():
        raise ClusterError(f"the local Ray asks for no token, so that all users of this machine could use it; {LOCKED}")


def asks_for_token() -> bool:
    """Whether the Ray that this process is connected to asks for a token."""
    from ray._private.authentication.authentication_utils import is_token_auth_enabled

    return bool(is_token_auth_enabled())


def is_loopback(address: str) -> bool:
    """Whether an IP address is of this machine alone: 127.0.0.0/8 or ::1, also in IPv6's form ::ffff:127.0.0.1."""
    found = ipaddress.ip_address(address)
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback
