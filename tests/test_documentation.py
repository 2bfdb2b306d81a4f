"""The pages of docs/ by their sources: what a new user asks is answered soon, links lead somewhere, code is code."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

import qperov
from qperov.commands.main import app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if not {"_build", "generated"} & set(page.parts))
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")

#: What a new user asks on the first page, and what the page that answers says first.
QUESTIONS = {
    "How do I use this kernel in my scikit-learn pipeline?": "make_pipeline(StandardScaler(), qperov.QuantumSVR(",
    "What does my folder of CIFs give?": "a list of what can be used and what cannot and why",
    "What will 50 samples cost on a quantum machine?": "**7.4 minutes**",
    "Can I trust this score?": "**a constant**",
    "How do I cite it?": "The qperov developers. *qperov* (version",
}
#: Lines of a source that fill the first screen.
SCREEN = 26


def body(page: Path) -> str:
    """A page without the settings at its top."""
    return re.sub(r"\A---\n.*?\n---\n", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("question", QUESTIONS)
def test_index_leads_to_the_answer_in_one_link(question: str) -> None:
    [row] = [line for line in body(DOCS / "index.md").splitlines() if question in line]
    [target] = LINK.findall(row)
    first = "\n".join(body(DOCS / target).splitlines()[:SCREEN])
    assert QUESTIONS[question] in " ".join(first.split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_links_lead_somewhere_and_python_is_python(page: Path) -> None:
    text = body(page)
    links = [link.partition("#")[0] for link in LINK.findall(text) if "://" not in link and not link.startswith("#")]
    assert [link for link in links if not (page.parent / link).exists()] == []
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        ast.parse(block)


def test_commands_in_pages_exist_and_are_in_order() -> None:
    known = get_command(app)
    assert list(known.list_commands(None))[:4] == ["demo", "describe", "data", "compare"]
    for page in PAGES:
        for words in re.findall(r"^qperov ([a-z]+)(?: ([a-z]+))?", body(page), flags=re.MULTILINE):
            command = known.commands[words[0]]
            assert not hasattr(command, "commands") or words[1] in command.commands, page


def test_reference_has_all_rooms() -> None:
    listed = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    rooms = [name for name in qperov.__all__ if inspect.ismodule(getattr(qperov, name))]
    assert [room for room in rooms if f"\n   qperov.{room}\n" not in listed] == []


def test_citation_has_the_version_of_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert body(DOCS / "start" / "cite.md").count(version) == 2


@pytest.mark.parametrize("name", [name for name in qperov.__all__ if not inspect.ismodule(getattr(qperov, name))])
def test_root_names_have_an_example(name: str) -> None:
    assert ">>> " in getattr(qperov, name).__doc__
