"""One case: damage an input, read it, and tell what became of it."""

from __future__ import annotations

import tempfile
import traceback
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from attack.inputs import KINDS, Input, sound
from attack.mutations import BYTES, LINES
from qperov.datasets.reading import read
from qperov.datasets.store import Store
from qperov.errors import QperovError

#: What may become of a case; the last four must not happen.
VERDICTS = ("same", "said", "unknowable", "silent", "traceback", "hang", "memory")


@dataclass(frozen=True)
class Verdict:
    """What became of a case: ``said`` with an error, an issue or a caution; ``unknowable``: other, whole content."""

    case: int
    kind: str
    damage: str
    verdict: str
    detail: str = ""


def judge(case: int, seed: int = 0) -> Verdict:
    """Damage the input of a case as its number and the seed say, and read it."""
    kind = KINDS[case % len(KINDS)]
    given = sound(kind)
    rng = np.random.default_rng([seed, case])
    ways = (*BYTES, *LINES) if given.text else BYTES
    damage = ways[int(rng.integers(len(ways)))]
    content = damage(given.files[given.damaged], rng)
    name = damage.__name__.replace("_", " ")
    before, usual = _result(kind)
    try:
        after, said = _read(given, content)
    except QperovError as error:
        return Verdict(case, kind, name, "said", str(error)[:200])
    except MemoryError:
        return Verdict(case, kind, name, "memory", "".join(traceback.format_exc())[-400:])
    except Exception:
        return Verdict(case, kind, name, "traceback", "".join(traceback.format_exc())[-600:])
    if said := [line for line in said if line not in usual]:
        return Verdict(case, kind, name, "said", str(said[0])[:200])
    if after == before:
        return Verdict(case, kind, name, "same")
    lost = sorted(before.keys() - after.keys())
    if (lost or given.checked) and not _frames_are_whole(kind, content):
        return Verdict(case, kind, name, "silent", f"lost {lost}" if lost else "other values")
    return Verdict(case, kind, name, "unknowable")


def _frames_are_whole(kind: str, content: bytes) -> bool:
    """Whether a trajectory was cut between two frames, which no word of it tells."""
    if kind != "extended XYZ":
        return False
    lines = content.decode("latin-1").splitlines()
    at = 0
    while at < len(lines) and lines[at].strip().isdecimal():
        at += int(lines[at]) + 2
    return at == len(lines)


@cache
def _result(kind: str) -> tuple[dict[str, tuple], list[str]]:
    """What the sound input holds, and what is said of it all the same: a stored model may be a poor one."""
    given = sound(kind)
    result, said = _read(given, given.files[given.damaged])
    assert given.read_back is not None or not said, said
    return result, said


def _read(given: Input, content: bytes) -> tuple[dict[str, tuple], list[str]]:
    """Each crystal by its id in numbers that can be compared, and all that was said."""
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        folder = Path(name)
        for path, plain in {**given.files, given.damaged: content}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(plain)
        options = dict(given.options)
        if "labels" in options:
            options["labels"] = folder / options["labels"]
        if given.read_back is not None:
            found, notes = given.read_back(folder)
            return found, [*notes, *(str(warning.message) for warning in warned)]
        if given.damaged == "s.db":
            with Store(folder / "s.db") as store:
                (stored,) = store.names()
                dataset = store.load(stored)
        else:
            dataset = read(folder, **options)
        y = [None] * len(dataset) if dataset.y is None else dataset.y.tolist()
        result = {
            structure_id: (
                structure.formula,
                structure.lattice.matrix.tobytes(),
                structure.cart_coords.tobytes(),
                label,
            )
            for structure_id, structure, label in zip(dataset.ids, dataset.structures, y, strict=True)
        }
    said = [*map(str, dataset.issues), *dataset.cautions, *(str(warning.message) for warning in warned)]
    return result, said
