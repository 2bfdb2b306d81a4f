"""The built site in a browser, as `make docs` runs it: what is asked is answered on a first screen, and pages fit."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SITE = Path(__file__).parent / "_build" / "html"
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from headless_browser import Browser, browser  # noqa: E402
from test_documentation import QUESTIONS  # noqa: E402

SCREENS = {"desktop": (1280, 800), "phone": (390, 844)}
#: Where the first element of the page begins that holds a text.
PLACE = """(text => {
  const found = [...document.querySelectorAll("article *")].filter(
    element => element.textContent.replace(/\\s+/g, " ").includes(text)).at(-1);
  return found ? found.getBoundingClientRect().top : null;
})"""


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("question", QUESTIONS)
def test_a_click_leads_to_the_answer(opened: Browser, question: str, screen: str) -> None:
    width, height = SCREENS[screen]
    opened.open(SITE / "index.html", width, height=height, mobile=screen == "phone")
    row = f'[...document.querySelectorAll("tr")].find(row => row.textContent.includes("{question}"))'
    assert opened.evaluate(f"{row}.getBoundingClientRect().bottom") <= height
    target = opened.evaluate(f'{row}.querySelector("a").getAttribute("href")')
    opened.open(SITE / target, width, height=height, mobile=screen == "phone")
    answer = QUESTIONS[question].replace("*", "")
    assert opened.evaluate(f"{PLACE}({answer!r})") < height


@pytest.mark.parametrize("screen", SCREENS)
def test_pages_fit_and_ask_nobody(opened: Browser, screen: str) -> None:
    width, height = SCREENS[screen]
    for page in sorted(SITE.rglob("*.html")):
        opened.open(page, width, height=height, mobile=screen == "phone")
        assert opened.evaluate("document.documentElement.scrollWidth") <= width, page
        assert [url for url in opened.requests() if not url.startswith("file:")] == [], page
        assert opened.complaints() == [], page
