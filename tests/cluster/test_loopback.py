"""What listens while Ray is up, and the token that its ports ask for."""

import os
import stat

import pytest

from tests.cluster.test_connect import CONNECT, run
from tests.sockets import listening, open_to_others

KNOCK = """
import grpc, os, sys
from cluster.ray_cluster import connect
from tests.sockets import command_lines
with connect("local", 1, 80, None):
    import ray
    from ray.core.generated import gcs_service_pb2 as messages, gcs_service_pb2_grpc as services
    place = ray.get_runtime_context().gcs_address
    for token in (None, "0" * 64, open(os.path.expanduser("~/.ray/auth_token")).read()):
        metadata = [("authorization", f"Bearer {token}")] if token else []
        with grpc.insecure_channel(place, [("grpc.enable_http_proxy", 0)]) as channel:
            try:
                found = services.NodeInfoGcsServiceStub(channel).GetAllNodeInfo(
                    messages.GetAllNodeInfoRequest(), metadata=metadata, timeout=60
                )
                print("nodes", len(found.node_info_list))
            except grpc.RpcError as error:
                print(error.code().name)
    print("told", sum(token in line for line in command_lines(os.getpid())))
"""


def test_a_local_ray_listens_on_loopback_alone(ray_cluster):
    import ray

    place = ray.get_runtime_context().gcs_address
    assert place.startswith("127.0.0.1:")
    found = listening(os.getpid())
    assert {"gcs_server", "raylet"} <= {one.program for one in found}
    assert open_to_others(os.getpid()) == []
    assert run(CONNECT, place)[0].startswith("CPUs 4.0 answer 42"), "and is joined there"
    assert f"Ray at {place} can't be reached: it asks for a token" in run(CONNECT, place, RAY_AUTH_TOKEN="0" * 64)[0]


def test_a_local_ray_has_a_token_of_its_user_and_turns_others_away(tmp_path):
    said, printed = run(KNOCK, HOME=str(tmp_path), RAY_AUTH_MODE="disabled", unset=("RAY_AUTH_TOKEN",))
    assert said == "UNAUTHENTICATED\nUNAUTHENTICATED\nnodes 1\ntold 0\n"
    assert "RAY_AUTH_MODE=disabled is not used" in printed
    token = tmp_path / ".ray/auth_token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600 and [one.name for one in token.parent.iterdir()] == [token.name]
    assert len(token.read_text()) == 64 and token.read_text() not in said + printed


@pytest.mark.parametrize("before", ["", "mine"])
def test_a_token_that_others_can_read_is_closed_and_an_empty_one_filled(tmp_path, before):
    token = tmp_path / ".ray/auth_token"
    token.parent.mkdir()
    token.write_text(before)
    token.chmod(0o644)
    code = "from cluster.loopback import require_token; require_token()"
    run(code, HOME=str(tmp_path), RAY_AUTH_TOKEN="")
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    kept = token.read_text()
    assert kept == before if before else len(kept) == 64
    run(code, HOME=str(tmp_path))
    assert token.read_text() == kept
