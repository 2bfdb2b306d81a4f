"""Asks services on the network: politely, with a limit on time and size, again where that may help."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from qperov.errors import FetchError

#: Answers after which the same question may be answered later.
TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
#: An answer of more bytes is no page of crystals.
MOST_BYTES = 2**28
#: Characters of a URL or of an answer that a message shows.
_SHOWN = 300
_PIECE = 2**20

Answer = TypeVar("Answer")


class TransientError(Exception):
    """Not answered now; ``wait`` says for how many seconds the service asks to be left alone."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class HttpClient:
    """How services are asked.

    Attributes
    ----------
    timeout : float
        Seconds without a byte after which an attempt is given up.
    attempts : int
    first_wait : float
        Seconds before the second attempt; doubled before each one that follows, or what the service asks for.
    longest_wait : float
        A service that asks for more is left for another day.
    sleep : callable
    """

    timeout: float = 60.0
    attempts: int = 6
    first_wait: float = 1.0
    longest_wait: float = 120.0
    sleep: Callable[[float], None] = time.sleep

    def get_json(self, url: str) -> Any:
        """The JSON that stands behind a URL.

        Raises
        ------
        FetchError
            If the service refuses, does not answer after all attempts, or answers anything but JSON.
        """

        def parsed() -> Any:
            with self._opened(url) as answer:
                content = answer.read(MOST_BYTES + 1)
            if len(content) > MOST_BYTES:
                raise FetchError(f"{shown(url)}: an answer of more than {MOST_BYTES >> 20} MiB; ask for smaller pages")
            try:
                return json.loads(content)
            except (ValueError, RecursionError) as error:
                raise TransientError(f"the answer is not JSON ({error}): {content[:60]!r}") from error

        return self.repeated(lambda: _guarded(parsed), shown(url))

    def download(self, url: str, path: Path, progress: Callable[[int, int | None], None] | None = None) -> None:
        """Write what stands behind a URL to a file; a part that is there already is not fetched again.

        The part stands in ``path`` with ``.part`` behind its name until it is whole.

        Raises
        ------
        FetchError
            If it cannot be had.
        """
        part = path.with_name(path.name + ".part")

        def fetched() -> None:
            begun = part.stat().st_size if part.exists() else 0
            with self._opened(url, {"Range": f"bytes={begun}-"} if begun else {}) as answer:
                begun = begun if answer.status == 206 else 0
                length = answer.headers.get("Content-Length")
                total = begun + int(length) if length and length.isdigit() else None
                done = begun
                with part.open("ab" if begun else "wb") as file:
                    while piece := answer.read(_PIECE):
                        file.write(piece)
                        done += len(piece)
                        if progress is not None:
                            progress(done, total)
            if total is not None and done < total:
                raise TransientError(f"broken off after {done} of {total} bytes")

        self.repeated(lambda: _guarded(fetched), shown(url))
        part.replace(path)

    def repeated(self, action: Callable[[], Answer], what: str) -> Answer:
        """What an action gives, tried again while it raises ``TransientError``."""
        for attempt in range(1, self.attempts + 1):
            try:
                return action()
            except TransientError as error:
                wait = max(self.first_wait * 2 ** (attempt - 1), error.wait or 0.0)
                if attempt == self.attempts:
                    raise FetchError(f"{what}: {error}; given up after {attempt} attempts") from None
                if (error.wait or 0.0) > self.longest_wait:
                    raise FetchError(f"{what}: {error}; it asks to wait {error.wait:.0f} s: try again later") from None
                self.sleep(min(wait, self.longest_wait))
        raise ValueError("attempts must be positive")

    def _opened(self, url: str, headers: dict[str, str] | None = None) -> Any:
        check_url(url)
        agent = {"User-Agent": f"qperov/{version('qperov')}", "Accept": "application/json, */*"}
        request = urllib.request.Request(url, headers=agent | (headers or {}))
        return urllib.request.build_opener().open(request, timeout=self.timeout)


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


def shown(url: str) -> str:
    """A URL as messages show it."""
    return url if len(url) <= _SHOWN else url[:_SHOWN] + "…"


def _guarded(action: Callable[[], Answer]) -> Answer:
    """Turn what goes wrong on the network into a transient error, or into a final one."""
    try:
        return action()
    except urllib.error.HTTPError as error:
        with error:
            said = _detail(error)
        reason = f"HTTP {error.code} {error.reason}{said and f': {said}'}"
        if error.code in TRANSIENT:
            raise TransientError(reason, _retry_after(error.headers.get("Retry-After"))) from error
        raise FetchError(f"{shown(error.url)}: {reason}") from None
    except urllib.error.URLError as error:
        raise TransientError(f"cannot be reached: {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise TransientError(f"broken off ({type(error).__name__}: {error})") from error


def _detail(error: urllib.error.HTTPError) -> str:
    """What the body of an error says: the details of JSON:API errors where there are such."""
    try:
        content = error.read(100_000)
        details = [str(each.get("detail") or each.get("title")) for each in json.loads(content)["errors"]]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError):
        return ""
    return "; ".join(details)[:_SHOWN]


def _retry_after(header: str | None) -> float | None:
    """Seconds that the header asks for, which stands as a number or as a date."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(header)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
