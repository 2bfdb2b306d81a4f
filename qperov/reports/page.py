"""What every page is made with: the package's templates, pictures inside the page, numbered figures and tables."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from PIL import Image

from qperov.reports.figures.style import COLOURS

#: Colours of a picture inside a page; its file beside the page has all.
PALETTE = 64
#: What stands in a script element; one with a type holds data and runs nowhere.
SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


@dataclass(frozen=True)
class Section:
    """A line of the table of contents: the anchor that it leads to and what it says."""

    anchor: str
    title: str


@dataclass
class Numbering:
    """Numbers figures and tables, each kind from 1, in the order in which a page asks."""

    given: Counter[str] = field(default_factory=Counter)

    def __call__(self, kind: str) -> int:
        self.given[kind] += 1
        return self.given[kind]


def render(template: str, *, fragments: Iterable[str] = (), **context: Any) -> str:
    """A page made of a template of this package; everything in it is escaped but markup of our own.

    Parameters
    ----------
    template : str
        A file of this package.
    fragments : iterable of str
        Markup of our own whose scripts may run; the page's policy refuses all others.
    **context
        What the template shows.
    """
    # ids and messages come from file names that anybody may have written: everything is escaped
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["stop"] = full_stop
    # base64 digits between quotes: nothing in it could end the attribute that it stands in
    policy = Markup(script_policy(fragments))
    return environment.get_template(template).render(context, number=Numbering(), script_policy=policy, colours=COLOURS)


def _template(name: str) -> str:
    return resources.files("qperov.reports").joinpath(name).read_text(encoding="utf-8")


def script_policy(fragments: Iterable[str]) -> str:
    """What a Content-Security-Policy adds so that the scripts of these fragments run and no others: their hashes."""
    found = [match for text in fragments for match in SCRIPT.findall(text)]
    hashes = dict.fromkeys(base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in found)
    return "; script-src " + " ".join(f"'sha256-{value}'" for value in hashes) if hashes else ""


def embedded(file: Path, *, folded: bool = False) -> str:
    """A picture as a data: address; a PNG with a palette, and half as wide where it is folded away."""
    kind, content = {".png": "image/png", ".svg": "image/svg+xml"}[file.suffix], file.read_bytes()
    if file.suffix == ".png":
        stream = io.BytesIO()
        picture = Image.open(file).convert("RGB")
        picture = picture.reduce(2) if folded else picture
        # of the methods the one that keeps the colours of small areas
        picture = picture.quantize(PALETTE, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        picture.save(stream, "PNG", optimize=True)
        content = stream.getvalue()
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def full_stop(text: str) -> str:
    """The text with one full stop at its end; units such as f.u. bring their own."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def plain(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Settings as text: strings as they are, everything else as JSON."""
    return [
        (str(key), value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for key, value in values.items()
    ]
