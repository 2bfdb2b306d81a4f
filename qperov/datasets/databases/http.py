"""Asks services on the network: politely, within limits on time and size, again where that may help."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from urllib3.util.retry import Retry

from qperov.errors import FetchError
from qperov.evaluation.progress import Progress

#: Answers after which the same question may be answered later.
TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
#: An answer of more bytes is no page of crystals.
MOST_BYTES = 2**28
#: A download of more bytes is no archive of crystals.
MOST_ARCHIVE_BYTES = 2**33
#: Characters of a URL or of an answer that a message shows.
_SHOWN = 300
_PIECE = 2**16

Answer = TypeVar("Answer")


class TransientError(Exception):
    """Not answered now; ``wait`` says for how many seconds the service asks to be left alone."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class HttpClient:
    """How services are asked.

    Attributes
    ----------
    timeout : float
        Seconds without a byte after which an attempt is given up.
    most_seconds : float
        Seconds after which an attempt is given up, however steadily bytes trickle in.
    attempts : int
    first_wait : float
        Seconds before the second attempt; doubled before each one that follows, or what the service asks for.
    longest_wait : float
        A service that asks for more is left for another day.
    sleep : callable
    """

    timeout: float = 60.0
    most_seconds: float = 600.0
    attempts: int = 6
    first_wait: float = 1.0
    longest_wait: float = 120.0
    sleep: Callable[[float], None] = time.sleep

    def get_json(self, url: str) -> Any:
        """The JSON that stands behind a URL.

        Raises
        ------
        FetchError
            If the service refuses, does not answer after all attempts, sends on to another host, or answers anything
            but JSON.
        """

        def parse() -> Any:
            content = bytearray()
            with self._open(url, {"Accept": "application/json, */*"}) as answer:
                for piece in self._pieces(answer):
                    content += piece
                    if len(content) > MOST_BYTES:
                        raise FetchError(f"{shorten(url)}: more than {MOST_BYTES >> 20} MiB; ask for smaller pages")
            try:
                return json.loads(content)
            except (ValueError, RecursionError) as error:
                raise TransientError(f"the answer is not JSON ({error}): {bytes(content[:60])!r}") from error

        return self.repeat(parse, shorten(url))

    def download(self, url: str, path: Path, hosts: tuple[str, ...] = (), progress: Progress | None = None) -> None:
        """Write what stands behind a URL to a file; a part that is there already is not fetched again.

        The part stands in ``path`` with ``.part`` behind its name until it is whole. ``hosts`` are those to which the
        service may send on, with all below them.

        Raises
        ------
        FetchError
            If it cannot be had.
        """
        part = path.with_name(path.name + ".part")

        def fetch_rest() -> None:
            begun = part.stat().st_size if part.exists() else 0
            headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={begun}-"} if begun else {})
            with self._open(url, headers, hosts) as answer:
                done = begun if answer.status_code == 206 else 0
                length = answer.headers.get("Content-Length", "")
                total = done + int(length) if length.isdigit() else None
                with part.open("ab" if done else "wb") as file:
                    for piece in self._pieces(answer):
                        file.write(piece)
                        done += len(piece)
                        if done > MOST_ARCHIVE_BYTES:
                            raise FetchError(f"{shorten(url)}: more than {MOST_ARCHIVE_BYTES >> 30} GiB; given up")
                        if progress is not None:
                            progress(done, total, path.name)

        self.repeat(fetch_rest, shorten(url))
        part.replace(path)

    def repeat(self, action: Callable[[], Answer], what: str) -> Answer:
        """What an action gives, tried again while it raises ``TransientError``."""
        for attempt in range(1, self.attempts + 1):
            try:
                return action()
            except TransientError as error:
                if attempt == self.attempts:
                    raise FetchError(f"{what}: {error}; given up after {attempt} attempts") from None
                if error.wait > self.longest_wait:
                    raise FetchError(f"{what}: {error}; it asks to wait {error.wait:.0f} s: try again later") from None
                self.sleep(min(max(self.first_wait * 2 ** (attempt - 1), error.wait), self.longest_wait))
        raise ValueError("attempts must be positive")

    @contextmanager
    def _open(self, url: str, headers: dict[str, str], hosts: tuple[str, ...] = ()) -> Iterator[requests.Response]:
        """The answer, its body not read yet; what goes wrong on the network is transient, or final."""
        check_url(url)

        def check_redirect(answer: requests.Response, **_: Any) -> None:
            if answer.is_redirect:
                check_onward(answer.url, urljoin(answer.url, answer.headers["location"]), hosts)

        headers = {"User-Agent": f"qperov/{version('qperov')}"} | headers
        hooks: Any = {"response": check_redirect}
        try:
            with closing(requests.get(url, headers=headers, timeout=self.timeout, stream=True, hooks=hooks)) as answer:
                if not answer.ok:
                    raise _refusal(answer, b"".join(islice(self._pieces(answer), 16)))
                yield answer
        except requests.ConnectionError as error:
            raise TransientError(f"cannot be reached: {error}") from error
        except (requests.Timeout, urllib3.exceptions.HTTPError) as error:
            raise TransientError(f"broken off ({type(error).__name__}: {error})") from error
        except requests.RequestException as error:
            raise FetchError(f"{shorten(url)}: {type(error).__name__}: {error}") from error

    def _pieces(self, answer: requests.Response) -> Iterator[bytes]:
        """The body as it comes in, so that the clock is looked at even when little comes."""
        end = time.monotonic() + self.most_seconds
        while piece := answer.raw.read1(_PIECE, decode_content=True):
            yield piece
            if time.monotonic() > end:
                raise TransientError(f"broken off: not whole after {self.most_seconds:.0f} s")


def check_url(url: str) -> None:
    """Refuse what is not a plain URL of the web.

    Raises
    ------
    ValueError
        If it has another scheme than https or http, no host, or carries a user name or password.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError(f"{url[:_SHOWN]}: not an https:// or http:// URL")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"{parts.hostname}: a URL must not carry a user name or a password: it would be written down")


def check_onward(url: str, onward: str, hosts: tuple[str, ...] = ()) -> None:
    """Refuse a way that leads from a URL out of the web, to another host (but ``hosts``), or from https to http.

    Raises
    ------
    FetchError
    """
    try:
        check_url(onward)
        here, there = urlsplit(url), urlsplit(onward)
        names = (here.hostname, *hosts)
        if here.scheme == "https" and there.scheme == "http":
            raise ValueError(f"{shorten(onward)} is not encrypted")
        if not any(there.hostname == name or (there.hostname or "").endswith(f".{name}") for name in names):
            raise ValueError(f"{shorten(onward)} is on another host; if you trust it, give its address")
    except ValueError as error:
        raise FetchError(f"{shorten(url)}: where it leads on is unusable: {error}") from error


def shorten(url: str) -> str:
    """A URL as messages show it."""
    return url if len(url) <= _SHOWN else url[:_SHOWN] + "…"


def _refusal(answer: requests.Response, body: bytes) -> Exception:
    """The error for an answer other than a success, with the details that JSON:API gives in its body."""
    try:
        errors = json.loads(body)["errors"]
        said = "; ".join(str(each.get("detail") or each.get("title")) for each in errors)[:_SHOWN]
    except (ValueError, KeyError, TypeError, AttributeError):
        said = ""
    reason = f"HTTP {answer.status_code} {answer.reason}{said and f': {said}'}"
    if answer.status_code not in TRANSIENT:
        return FetchError(f"{shorten(answer.url)}: {reason}")
    try:
        wait = Retry(retry_after_max=10**9).parse_retry_after(answer.headers.get("Retry-After", "0"))
    except urllib3.exceptions.InvalidHeader:
        wait = 0.0
    return TransientError(reason, wait)
