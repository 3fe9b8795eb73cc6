"""Which Ray to use: a local one for this process, or one that runs already."""

from __future__ import annotations

import logging
import os
import socket
from dataclasses import dataclass
from typing import Any

from cluster.errors import ClusterError
from cluster.loopback import loopback_node

VARIABLE = "RAY_ADDRESS"
LOCAL = "local"
"""Ray's word for a new local cluster."""
LISTEN_S = 5.0
"""Longest wait for a server to take a connection (seconds). Ray itself waits minutes for a cluster that is gone."""
ANSWER_S = 30.0
"""Longest wait for its first word (seconds): on a busy machine a Ray that has just been started takes a while."""


@dataclass(frozen=True)
class Address:
    """Where a running Ray is."""

    text: str
    """``host:port``, ``ray://host:port`` or ``auto``."""
    variable: bool = False
    """Whether the environment names it."""

    def lost(self, why: object) -> ClusterError:
        """The error for an address that can't be used."""
        why = str(why).strip().rstrip(".")
        if self.variable:
            return ClusterError(
                f"Ray at {self.text}, which the environment variable {VARIABLE} names, can't be reached: {why}. Start "
                f"it, correct {VARIABLE}, or unset it (unset {VARIABLE}) to start a local Ray"
            )
        return ClusterError(
            f"Ray at {self.text} can't be reached: {why}. Start it, correct the address (cluster.address or "
            f"--ray-address), or leave it out to start a local Ray"
        )


def chosen(address: str | None) -> Address | None:
    """The running cluster that ``address`` names, or else the environment; None for a local one.

    ``auto`` is the cluster of the environment if that names one, as in Ray itself.
    """
    given, environment = (address or "").strip(), os.environ.get(VARIABLE, "").strip()
    if given in ("", "auto") and environment:
        return None if environment == LOCAL else Address(environment, variable=True)
    return None if given in ("", LOCAL) else Address(given)


def require_answer(address: Address) -> None:
    """Look for a server at an address before Ray waits for it.

    Raises:
        ClusterError: if the address is malformed, no Ray is found, or nothing there speaks Ray's protocol.
    """
    import grpc
    from ray._private.services import canonicalize_bootstrap_address

    client, _, place = address.text.rpartition("://")
    if client not in ("", "ray"):
        raise address.lost("an address is host:port, ray://host:port or auto")
    try:
        with loopback_node():  # else Ray takes an address on loopback for one of a network interface
            place = place if client else canonicalize_bootstrap_address(place)
    except Exception as error:  # what Ray raises depends on what it finds: no cluster, no such host, no port
        raise address.lost(error) from None
    _use_token(place)
    _require_listening(address, place)
    with grpc.insecure_channel(place, [("grpc.enable_http_proxy", 0)]) as channel:
        try:
            grpc.channel_ready_future(channel).result(ANSWER_S)
        except grpc.FutureTimeoutError:
            raise address.lost(f"no Ray answers at {place} within {ANSWER_S:g} s") from None
        if not client and _refuses(channel):
            raise address.lost(
                "it asks for a token, and yours is none or another. Set RAY_AUTH_MODE=token, and name the file of its "
                "token in RAY_AUTH_TOKEN_PATH (on its machine ~/.ray/auth_token)"
            )


def _require_listening(address: Address, place: str) -> None:
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), LISTEN_S).close()
    except (OSError, ValueError, OverflowError) as error:
        raise address.lost(f"no Ray answers at {place} ({error})") from None


def _refuses(channel: Any) -> bool:
    """Whether a cluster does not take this process's token. Ray itself would try for half a minute."""
    import grpc
    from ray._private.authentication.grpc_authentication_client_interceptor import _get_authentication_metadata_tuple
    from ray.core.generated.gcs_service_pb2 import CheckAliveRequest
    from ray.core.generated.gcs_service_pb2_grpc import NodeInfoGcsServiceStub
    from ray.exceptions import AuthenticationError

    ask = NodeInfoGcsServiceStub(channel).CheckAlive
    try:
        ask(CheckAliveRequest(), metadata=_get_authentication_metadata_tuple(), timeout=ANSWER_S)
    except grpc.RpcError as error:
        return bool(error.code() == grpc.StatusCode.UNAUTHENTICATED)
    except AuthenticationError:  # it can't be read
        return True
    return False


def _use_token(place: str) -> None:
    """Join a Ray of this machine that was started with a token with the user's token, as Ray does by itself. For
    another machine's Ray the user gives the token, with RAY_AUTH_MODE=token."""
    from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available
    from ray.util import get_node_ip_address

    logging.getLogger("ray").setLevel(logging.ERROR)  # it warns about what is intended here
    host = place.rpartition(":")[0].strip("[]")
    if host in ("127.0.0.1", "localhost", "::1", get_node_ip_address()):
        maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
