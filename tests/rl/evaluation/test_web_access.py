"""Who may use the page of evaluations, over real sockets: whoever has its address, from the page itself."""

import json
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT


@pytest.fixture
def client(opened, address):
    """A client with the page's cookie, which says about itself what a browser says for the page."""
    with httpx.Client(trust_env=False, timeout=60, base_url=address) as client:
        answer = client.get(opened)
        assert answer.status_code == 303 and "HttpOnly" in answer.headers["set-cookie"]
        client.headers.update({"Origin": address, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"})
        yield client


def test_only_its_own_machine_reaches_the_page(client):
    answer = client.get("/")
    assert answer.status_code == 200 and "default-src 'self'" in answer.headers["content-security-policy"]
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400
    for path in ("config.json", "manifest.json"):
        assert client.get(f"/gradio_api/file={ROOT}/{path}").status_code != 200
    assert client.get(f"/gradio_api/file={Path(__file__)}").status_code == 403


ASK = ("/gradio_api/run/compare", {"data": [["sft"]]})
"""A request that the page makes: the table of a run."""


def test_only_who_has_the_address_uses_the_page(client, address):
    assert "qwen-sft" in client.post(ASK[0], json=ASK[1]).text
    for cookie in (None, "", "a" * 43):
        cookies = {} if cookie is None else {f"themis-{httpx.URL(address).port}": cookie}
        with httpx.Client(trust_env=False, timeout=60, base_url=address, cookies=cookies) as stranger:
            for answer in (stranger.get("/"), stranger.get("/?token=x"), stranger.post(ASK[0], json=ASK[1])):
                assert answer.status_code == 403 and "with its token" in answer.text and "qwen" not in answer.text


@pytest.mark.parametrize(
    "said",
    [
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": ""},  # a browser that does not know it
        {"Origin": "null", "Sec-Fetch-Site": ""},  # a sandboxed frame, or a file
        {"Origin": "http://localhost:1", "Sec-Fetch-Site": "same-site"},  # another port
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Content-Type": "text/plain"},  # a form
    ],
)
def test_other_sites_cannot_use_the_page_though_the_browser_has_its_cookie(client, said):
    for name in ("Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode"):
        del client.headers[name]
    headers = {name: value for name, value in said.items() if value}
    content = json.dumps(ASK[1])
    for answer in (
        client.post(ASK[0], content=content, headers={"Content-Type": "application/json", **headers}),
        client.post("/gradio_api/upload", files={"files": ("x.txt", b"x")}, headers=headers),
        client.get("/config", headers={**headers, "Sec-Fetch-Mode": "cors"}),
    ):
        assert answer.status_code == 403 and answer.text == "Other sites can't use this page"
        assert "access-control-allow-origin" not in answer.headers
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.get("/", headers=link).status_code == 200, "a link to the page works"


def test_nothing_is_uploaded_and_requests_are_small(client):
    for path in ("upload", "upload?upload_id=1", "process_recording", "vibe-edit", "run-history/connect", "x/run/a"):
        assert client.post(f"/gradio_api/{path}", files={"files": ("x.txt", b"x")}).status_code == 403
    large, headers = json.dumps({"data": ["x" * 2**20]}).encode(), {"Content-Type": "application/json"}
    pieces = (large[i : i + 2**16] for i in range(0, len(large), 2**16))  # without a Content-Length
    for content in (large, pieces):
        assert client.post(ASK[0], content=content, headers=headers).status_code == 413
    assert client.put("/", content=b"x").status_code == 403
