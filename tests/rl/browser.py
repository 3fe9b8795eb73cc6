"""Headless Chromium driven over its DevTools protocol."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect


def browser():
    """Path of a browser that works. Where there is none the test is skipped: it is no requirement of ours, and CI
    installs one."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None or subprocess.run([path, "--version"], capture_output=True, timeout=120).returncode:
        pytest.skip("no working chromium on PATH; Debian's package is chromium")
    return path


def needs_chinese_font():
    """Skip the test where no font has Chinese glyphs, so that none could be drawn; CI installs one."""
    listed = shutil.which("fc-list") and subprocess.run(["fc-list", ":lang=zh-cn"], capture_output=True).stdout
    if not listed:
        pytest.skip("no Chinese font is installed; Debian's package is fonts-noto-cjk")


class Tab:
    """One page."""

    def __init__(self, socket) -> None:
        self.socket, self.numbers, self.requests, self.console = socket, itertools.count(1), [], []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv(timeout=120))
            self._note(message)
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    def _note(self, message) -> None:
        params = message.get("params", {})
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif message.get("method") == "Runtime.exceptionThrown":
            self.console.append(json.dumps(params))
        elif message.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.console.append(params["entry"]["text"])

    def run(self, expression):
        """The value of a JavaScript expression."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, expression, seconds=120):
        """The first true value of an expression."""
        end = time.monotonic() + seconds
        while not (found := self.run(expression)):
            assert time.monotonic() < end, f"{expression} stays {found!r}: {self.text()[-3000:]}"
            time.sleep(0.2)
        return found

    def text(self, selector="body"):
        """Visible text of an element."""
        return self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def says(self, selector, text):
        """Wait until an element holds a text."""
        inner = f"document.querySelector({json.dumps(selector)})?.textContent ?? ''"
        return self.wait(f"({inner}).includes({json.dumps(text)})")

    def click(self, selector):
        """Click an element once it is there."""
        self.wait(f"!!document.querySelector({json.dumps(selector)})")
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def tab(self, name):
        """Open a tab of the page."""
        buttons = "[...document.querySelectorAll('button[role=tab]')]"
        button = f"{buttons}.find(b => b.innerText.trim() == {json.dumps(name)})"
        self.wait(f"!!{button}")
        self.run(f"{button}.click()")

    def type(self, selector, text, tries=10):
        """Replace what a field holds, and press Enter, as a person does.

        A field that is not shown yet takes no focus, and one that is just being drawn may take its first value after
        the text: a person would see that and type again.
        """
        field = f"document.querySelector({json.dumps(selector)})"
        focused = "e?.focus(); e?.select(); return !!e && document.activeElement === e;"
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
        for _ in range(tries):
            self.wait(f"(e => {{ {focused} }})({field})")
            self.call("Input.insertText", text=text)
            for kind in ("keyDown", "keyUp"):
                self.call("Input.dispatchKeyEvent", type=kind, **key)
            time.sleep(0.3)  # a field tells the page of its value a moment after the key
            if self.run(f"{field}.value.trim() === {json.dumps(text)} || {field}.role === 'combobox'"):
                return  # a list to choose from shows what was chosen elsewhere
        raise AssertionError(f"{selector} does not take {text!r}: {self.run(f'{field}.value')!r}")

    def shot(self, path: Path, width=1400, height=1000):
        """A picture of the window."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        time.sleep(0.3)
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


@contextmanager
def chromium(profile: Path):
    """A browser's tab; skips the test where there is no browser."""
    command = [
        browser(), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-port=0",
        "--remote-allow-origins=*", "--disable-background-networking", f"--user-data-dir={profile}", "about:blank",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port_file, end = profile / "DevToolsActivePort", time.monotonic() + 120
        while not (port_file.is_file() and port_file.read_text().strip()):
            assert process.poll() is None and time.monotonic() < end, "chromium does not start"
            time.sleep(0.2)
        port = port_file.read_text().split()[0]
        pages = httpx.get(f"http://127.0.0.1:{port}/json", trust_env=False, timeout=60).json()
        address = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
        with connect(address, max_size=None, proxy=None) as socket:
            yield Tab(socket)
    finally:
        process.terminate()
        process.wait(30)
