"""Chromium without a window, spoken to over a pipe: the DevTools protocol with nothing but the standard library."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 120
#: No sandbox, since containers run as root; nothing of its own that would go to the network.
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-pipe",
)  # fmt: skip
#: The protocol wants to read from descriptor 3 and write to 4; both may be taken at first.
LAUNCH = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
os.dup2(ends[0], 3)
os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def find_browser() -> str:
    """The browser's path; AssertionError that says what to install where there is none."""
    found = [path for name in NAMES if (path := shutil.which(name))]
    assert found, (
        f"no browser: none of {', '.join(NAMES)} is on the PATH. Install Chromium (Debian, Ubuntu: apt-get install "
        "chromium; Fedora: dnf install chromium; macOS: brew install chromium) and run the slow tests again."
    )
    return found[0]


@dataclass
class Browser:
    """One page in one browser; events are kept as they come."""

    to: int
    back: int
    events: list[dict[str, Any]] = field(default_factory=list)
    session: str = ""
    buffer: bytes = b""
    number: int = 0

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and wait for its result."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self.number:
            self.events.append(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def open(self, page: Path, width: int, *, height: int = 900, mobile: bool = False) -> None:
        """Load a page in a window of this width, in CSS pixels, and wait until all of it is there."""
        self.events.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        self.call("Page.navigate", url=page.resolve().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())
        # two frames, so that what scripts draw at first is drawn
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")

    def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression, awaited; AssertionError where it throws."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def requests(self) -> list[str]:
        """Addresses that the page asked for since it was opened, those inside the page left out."""
        sent = [e["params"]["request"]["url"] for e in self.events if e.get("method") == "Network.requestWillBeSent"]
        return [url for url in sent if not url.startswith("data:")]

    def complaints(self) -> list[str]:
        """Errors of scripts, refusals of the page's policy, and whatever the console says."""
        told = {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"}
        return [json.dumps(event["params"]) for event in self.events if event.get("method") in told]

    def screenshot(self, target: Path) -> Path:
        """The whole page as PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 16000), "scale": 1}
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        target.write_bytes(base64.b64decode(picture["data"]))
        return target

    def pdf(self, target: Path) -> Path:
        """The page as it prints, on the paper that it asks for."""
        printed = self.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        target.write_bytes(base64.b64decode(printed["data"]))
        return target

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + SECONDS
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.back], [], [], max(end - time.monotonic(), 0))
            assert ready, f"the browser said nothing for {SECONDS} s"
            read = os.read(self.back, 1 << 20)
            assert read, "the browser ended"
            self.buffer += read
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """Start the browser with a profile of its own, with one empty page, and end it."""
    to_browser, from_us = os.pipe()
    to_us, from_browser = os.pipe()
    launcher = [sys.executable, "-c", LAUNCH, str(to_browser), str(from_browser)]
    log = (profile / "browser.log").open("wb")
    process = subprocess.Popen(
        [*launcher, find_browser(), *OPTIONS, f"--user-data-dir={profile}"],
        pass_fds=(to_browser, from_browser),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    os.close(to_browser)
    os.close(from_browser)
    try:
        opened = Browser(from_us, to_us)
        target = opened.call("Target.createTarget", url="about:blank")["targetId"]
        opened.session = opened.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            opened.call(f"{domain}.enable")
        yield opened
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for descriptor in (from_us, to_us):
            os.close(descriptor)
        log.close()
