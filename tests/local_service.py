"""A web service on this machine that answers as it is told, for tests without a network."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Answer:
    """One answer; ``content`` is bytes, or anything that JSON writes."""

    content: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    #: Bytes that are announced and not sent.
    missing: int = 0

    @property
    def body(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else json.dumps(self.content).encode()


class LocalService:
    """Answers by path (and query, where one is registered): the answers of a path in turn, the last one for ever."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def on(self, path: str, *answers: Answer) -> None:
        """Register what is answered."""
        self.answers[path] = list(answers)

    def answer(self, target: str, headers: dict[str, str]) -> Answer:
        self.asked.append(target)
        self.headers.append(headers)
        known = self.answers.get(target) or self.answers.get(urlsplit(target).path)
        if not known:
            return Answer({"errors": [{"status": "404", "title": "Not Found", "detail": "no such page"}]}, 404)
        return known.pop(0) if len(known) > 1 else known[0]


def _handler(service: LocalService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = service.answer(self.path, dict(self.headers))
            body, status = answer.body, answer.status
            ranged = self.headers.get("Range")
            if ranged and status == 200 and not answer.missing:
                body, status = body[int(ranged.removeprefix("bytes=").rstrip("-")) :], 206
            self.send_response(status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) + answer.missing))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler


@contextmanager
def local_service() -> Iterator[LocalService]:
    """A service that runs while the block does."""
    service = LocalService()
    thread = threading.Thread(target=service.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        service.server.shutdown()
        service.server.server_close()
        thread.join()
