"""An OpenAI-compatible server on loopback whose answers a function decides: for tests, and for trying a pipeline."""

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[[dict[str, Any]], str | dict[str, Any] | int | tuple[int, str] | list[str]]


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # many connect at once, and a busy machine is slow to take them


class Server:
    """Serves one model. ``reply`` takes a request's body; it returns a message's text, a whole message (with
    ``finish_reason``, if it did not stop by itself), the texts of all choices, or a status to fail with, alone or with
    its message."""

    def __init__(
        self,
        reply: Reply,
        length: int | None = None,
        owner: str = "test",
        port: int = 0,
        model: str = "m",
    ) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        lock, served = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                found = {"id": model, "object": "model", "owned_by": owner, "max_model_len": length}
                self.send(200, {"object": "list", "data": [found]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    served.asked.append(body)
                    served.keys.add(self.headers.get("Authorization", ""))
                    found = reply(body)
                if isinstance(found, int):
                    found = found, f"status {found}"
                if isinstance(found, tuple):
                    self.send(found[0], {"error": {"message": found[1]}})
                    return
                said = found if isinstance(found, list) else [found] * (body.get("n") or 1)
                choices = []
                for number, one in enumerate(said):
                    message = {"role": "assistant"} | ({"content": one} if isinstance(one, str) else one)
                    reason = message.pop("finish_reason", "stop")
                    choices.append({"index": number, "message": message, "finish_reason": reason})
                usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
                self.send(
                    200,
                    {
                        "id": "x",
                        "object": "chat.completion",
                        "created": 0,
                        "model": model,
                        "choices": choices,
                        "usage": usage,
                    },
                )

            def send(self, status: int, content: Any) -> None:
                text = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                with suppress(OSError):  # who asked may have been stopped
                    self.wfile.write(text)

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = _Listener(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
