"""Measured patterns in the store: JSON text that gives back every bit, and the rows that make a dataset of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from qperov.datasets.pattern_dataset import PatternDataset
from qperov.datasets.store_file import StoreFile
from qperov.diffraction.measured import MeasuredPattern
from qperov.errors import StoreError
from qperov.storage.atomic import require_room

#: ``datasets.kind`` of measured patterns.
KIND = "patterns"


def to_text(pattern: MeasuredPattern) -> str:
    """JSON with angles (degrees), intensities and all that is known of the scan."""
    content = {
        "two_theta": pattern.two_theta.tolist(),
        "intensity": pattern.intensity.tolist(),
        "wavelength": pattern.wavelength,
        "kalpha": pattern.kalpha,
        "name": pattern.name,
        "geometry": pattern.geometry,
        "unit": pattern.unit,
        "remarks": pattern.remarks,
    }
    return json.dumps(content, separators=(",", ":"), allow_nan=False)


def from_text(text: str) -> MeasuredPattern:
    """The pattern that ``to_text`` wrote, to the last bit.

    Raises
    ------
    ValueError, KeyError, TypeError, DescriptorError
        If the text is not of this form.
    """
    content = json.loads(text)
    kalpha = content["kalpha"]
    return MeasuredPattern(
        np.array(content.pop("two_theta"), dtype=float),
        np.array(content.pop("intensity"), dtype=float),
        **content | {"kalpha": None if kalpha is None else (kalpha[0], kalpha[1])},
    )


def add_scans(store: StoreFile, dataset: PatternDataset, key: int) -> None:
    """Write the patterns of a dataset, and that they are in it, inside a transaction; what is there stays.

    Raises
    ------
    StoreError
        If an id already stands for another pattern or label.
    DiskSpaceError
        If the disk has no room for the patterns, before anything is written.
    """
    (position,) = store.connection.execute(
        "SELECT COALESCE(MAX(position) + 1, 0) FROM scans WHERE dataset = ?", (key,)
    ).fetchone()
    texts = [to_text(pattern) for pattern in dataset.patterns]
    identities = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    stored = {each for (each,) in store.connection.execute("SELECT id FROM patterns")}
    # SQLite writes them into its log first, and from there into the file
    new = {each: len(text) for each, text in zip(identities, texts, strict=True) if each not in stored}
    require_room(store.path, 2 * sum(new.values()))
    for i, (source, pattern) in enumerate(zip(dataset.ids, dataset.patterns, strict=True)):
        text, pattern_id = texts[i], identities[i]
        value = None if dataset.y is None else dataset.y[i].item()
        store.connection.execute(
            "INSERT OR IGNORE INTO patterns VALUES (?, ?, ?, ?, ?)",
            (pattern_id, len(pattern), pattern.wavelength, pattern.geometry, text),
        )
        known = store.connection.execute(
            "SELECT pattern, value FROM scans WHERE dataset = ? AND source = ?", (key, source)
        ).fetchone()
        if known is None:
            group = None if dataset.known_groups is None else int(dataset.known_groups[i])
            provenance = dataset.provenance[i] if dataset.provenance else None
            row = (key, source, position, pattern_id, value, group, provenance)
            store.connection.execute("INSERT INTO scans VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            position += 1
        elif known != (pattern_id, value):
            raise StoreError(
                f"{store.path}: {source!r} of {dataset.name!r} already stands for another pattern or label; nothing "
                "was written. Give the dataset another name"
            )


def load_scans(store: StoreFile, key: int, name: str, *, labelled: bool, **fields: Any) -> PatternDataset:
    """The dataset of these patterns, in the order in which they were added.

    Raises
    ------
    StoreError
        If a pattern is damaged.
    """
    rows = store.connection.execute(
        "SELECT c.source, p.content, c.value, c.provenance, c.known_group FROM scans c JOIN patterns p"
        " ON p.id = c.pattern WHERE c.dataset = ? ORDER BY c.position",
        (key,),
    ).fetchall()
    ids, texts, values, provenance, groups = zip(*rows, strict=True) if rows else ((),) * 5
    try:
        patterns = tuple(from_text(text) for text in texts)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise StoreError(f"{store.path}: a pattern of {name!r} is damaged ({error}); import it anew") from error
    return PatternDataset(
        name=name,
        patterns=patterns,
        ids=ids,
        y=np.array(values) if labelled and rows else np.zeros(0) if labelled else None,
        provenance=tuple(each or "" for each in provenance) if any(each is not None for each in provenance) else (),
        known_groups=None if not rows or None in groups else np.array(groups),
        **fields,
    )


def scan_table(store: StoreFile, key: int, columns: Sequence[str]) -> pd.DataFrame:
    """One row a scan: id, pattern's id, points, wavelength (Å), geometry, label, provenance, group, pattern."""
    rows = store.connection.execute(
        "SELECT c.source, p.id, p.points, p.wavelength, p.geometry, c.value, c.provenance, c.known_group, p.content"
        " FROM scans c JOIN patterns p ON p.id = c.pattern WHERE c.dataset = ? ORDER BY c.position",
        (key,),
    )
    return pd.DataFrame(rows.fetchall(), columns=list(columns))
