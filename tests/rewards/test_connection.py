"""Loopback is reached in spite of a proxy in the environment; messages name its variable, not its password."""

import json

import pytest

from rewards.judge.client import JudgeSettings
from rewards.judge.connection import ProxyError, connected, connected_async, is_loopback, proxy_note, proxy_variable
from rewards.judge.service import JudgeService
from rl.errors import UserError
from rl.inference.backends.served import served_models, settings_of
from tests.rl.server import Server

NAMES = [name for one in ("http", "https", "all", "no") for name in (f"{one}_proxy", f"{one.upper()}_PROXY")]
FAR = "http://192.0.2.1:8000/v1"
"""An address of a block that is kept for examples."""


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    def reply(body):
        fields = body["response_format"]["json_schema"]["schema"]["properties"]
        return json.dumps({name: field.get("enum", [""])[0] for name, field in fields.items()})

    with Server(reply) as found:
        yield found


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/v1", "http://127.8.9.1:1", "http://localhost:8000", "http://LOCALHOST.", "https://[::1]:5/v1",
            "http://0.0.0.0:8000", "http://[::ffff:127.0.0.1]/", "http://judge.localhost:1"],
)  # fmt: skip
def test_addresses_of_this_machine(url, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert is_loopback(url) and proxy_variable(url) == "" == proxy_note(url)


@pytest.mark.parametrize(
    "url", [FAR, "http://127.0.0.1.example.org/", "http://localhost.example.org", "http://10.0.0.1"]
)
def test_other_addresses(url, monkeypatch):
    assert not is_loopback(url) and proxy_variable(url) == ""
    monkeypatch.setenv("all_proxy", "http://somebody:secret@127.0.0.1:9")
    assert proxy_variable(url) == "all_proxy" and "secret" not in proxy_note(url)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert proxy_variable(url) == "HTTP_PROXY" and proxy_variable(url.replace("http", "https", 1)) == "all_proxy"
    monkeypatch.setenv("no_proxy", "192.0.2.1,example.org,10.0.0.1")
    assert proxy_variable(url) == ""


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "nonsense://x"])
@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_a_server_on_loopback_is_asked_directly(server, name, proxy, monkeypatch):
    monkeypatch.setenv(name, proxy)
    for url in (server.url, server.url.replace("127.0.0.1", "localhost")):
        assert served_models(settings_of(url, "m")) == {"m": None}


def test_a_judge_on_loopback_is_asked_directly(server, monkeypatch):
    from tests.rewards.test_judge import sample

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    judge = JudgeService(JudgeSettings(server.url, "m", retries=0))
    (found,) = judge.verdicts("legal_validity", [sample()])
    assert found.error is None


def test_a_server_behind_a_dead_proxy_names_the_variable(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://somebody:secret@127.0.0.1:9")
    with pytest.raises(UserError, match=r"requests use the proxy in HTTP_PROXY; if 192\.0\.2\.1 needs none") as caught:
        served_models(settings_of(FAR, "m"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("connect", [connected, connected_async])
@pytest.mark.parametrize(
    "proxy, said", [("socks5h://h:1", "install socksio"), ("nonsense://x", "correct it or unset it")]
)
def test_a_proxy_of_no_use_is_named(connect, proxy, said, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(ProxyError, match=f"ALL_PROXY names .*{said}"):
        connect(FAR, None)
