"""Datasets by their names: those that come with the package, and those of a store."""

from __future__ import annotations

from pathlib import Path

from qperov.datasets.dataset import CrystalDataset
from qperov.datasets.named import EMBEDDED, load_dataset, unknown_name
from qperov.datasets.store import Store


def find_dataset(name: str, store: str | Path) -> CrystalDataset:
    """The embedded dataset of that name, or else the one in the store, which need not be there.

    Raises
    ------
    DatasetNameError
        If there is none; the message names the nearest.
    """
    if name in EMBEDDED:
        return load_dataset(name)
    names: list[str] = []
    if Path(store).exists():
        with Store(store) as opened:
            names = opened.names()
            if name in names:
                return opened.load(name)
    raise unknown_name(name, [*EMBEDDED, *names], f", nor one in {store}")
