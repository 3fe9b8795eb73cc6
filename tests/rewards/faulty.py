"""A proxy in front of a judge's server that goes wrong on purpose."""

import json
import socket
import threading
import time
import urllib.request
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FaultyProxy:
    """Hands requests on to ``upstream``, after one fault each from ``faults``; None is none.

    ``429`` and ``500`` are statuses, ``slow`` takes half a second, ``hang`` never answers, ``drip`` sends a byte at
    a time, ``garbage`` is not JSON, ``prose`` is a well-formed answer without points, ``cut`` closes the connection in
    the middle of the answer.
    """

    def __init__(self, upstream: str, faults: list[str | None]) -> None:
        self.upstream, self.faults = upstream, list(faults)
        self.seen: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                proxy.answer(self, body)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        with self._lock:
            fault = self.faults.pop(0) if self.faults else None
            self.seen[fault or "passed"] += 1
        if fault in ("429", "500"):
            handler.send_response(int(fault))
            handler.send_header("Retry-After", "0.05")
            handler.send_header("Content-Length", "2")
            handler.end_headers()
            handler.wfile.write(b"{}")
        elif fault == "slow":
            time.sleep(0.5)
            self.pass_on(handler, body)
        elif fault == "hang":
            self._stopped.wait(30)
        elif fault == "drip":
            handler.send_response(200)
            handler.send_header("Content-Length", "100000")
            handler.end_headers()
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline and not self._stopped.is_set():
                try:
                    handler.wfile.write(b" ")
                    handler.wfile.flush()
                except OSError:
                    return
                time.sleep(0.05)
        elif fault == "garbage":
            self._send(handler, b"<html>not json")
        elif fault == "prose":
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "很好的回答。"}}
            self._send(
                handler,
                json.dumps(
                    {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
                ).encode(),
            )
        elif fault == "cut":
            handler.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{"id"')
            handler.wfile.flush()
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
        else:
            self.pass_on(handler, body)

    def pass_on(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        """The answer of the server behind."""
        kept = {name: handler.headers[name] for name in ("Content-Type", "Authorization")}
        request = urllib.request.Request(self.upstream.removesuffix("/v1") + handler.path, body, kept)
        with urllib.request.urlopen(request, timeout=60) as found:
            self._send(handler, found.read())

    def _send(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def stop(self) -> None:
        self._stopped.set()
        self.server.shutdown()
        self.server.server_close()
