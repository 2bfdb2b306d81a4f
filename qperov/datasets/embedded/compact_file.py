"""Small files of relaxed cells: compressed JSON with rounded cells and positions, equal contents giving equal bytes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pymatgen.core import Lattice, Structure

from qperov.errors import FileFormatError
from qperov.storage.atomic import atomic_path

#: Positions are kept as whole numbers of this fraction of a cell vector (1e-5 Å in a cell of 10 Å) …
POSITION_STEP = 1e-6
#: … and cell vectors rounded to this many digits (Å).
CELL_DIGITS = 5

Parsed = TypeVar("Parsed")


def write_compact(content: dict[str, Any], path: str | Path) -> None:
    """Write JSON, compressed; the file is there entirely or not at all."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    with atomic_path(path) as temporary:
        temporary.write_bytes(gzip.compress(text.encode(), mtime=0))


def read_compact(content: bytes, path: str, parse: Callable[[dict[str, Any]], Parsed], what: str) -> Parsed:
    """What ``parse`` makes of such a file.

    Raises
    ------
    FileFormatError
        If the file is anything else than ``what``.
    """
    try:
        return parse(json.loads(gzip.decompress(content)))
    except (OSError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise FileFormatError(path, f"not {what} ({type(error).__name__}: {error})") from error


def embedded_compact(name: str) -> tuple[bytes, str]:
    """Bytes and path of a file that comes with the package."""
    file = resources.files("qperov.datasets.embedded").joinpath("data", f"{name}.json.gz")
    return file.read_bytes(), str(file)


def rounded_cell(structure: Structure) -> dict[str, Any]:
    """Cell vectors (Å) and positions as such a file holds them."""
    return {
        "lattice": np.round(structure.lattice.matrix, CELL_DIGITS).tolist(),
        "positions": np.rint(structure.frac_coords / POSITION_STEP).astype(int).ravel().tolist(),
    }


def cell_of(plain: dict[str, Any], species: Sequence[str], step: float) -> Structure:
    """The structure of ``rounded_cell`` with a species for each site."""
    return Structure(Lattice(plain["lattice"]), species, np.array(plain["positions"]).reshape(-1, 3) * step)
