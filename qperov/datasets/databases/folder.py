"""A file or folder of crystals as a database that can be fetched from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from qperov.datasets.databases.fetching import About, FetchedCrystal, Page
from qperov.datasets.dataset import CrystalDataset, require_crystals
from qperov.datasets.reading import read


@dataclass(frozen=True)
class Folder:
    """Files on this machine as a database: CIFs, POSCARs, runs, archives, whatever ``read`` reads.

    Attributes
    ----------
    path : Path
    target : str or None
        See :func:`~qperov.datasets.reading.read`.
    """

    path: Path
    target: str | None = None

    def query(self) -> dict[str, Any]:
        """Path and target."""
        return {"service": "files", "path": str(self.path), "target": self.target}

    def about(self) -> About:
        """The path, and the unit of the target."""
        return About(f"files in {self.path}", "as they were", "licence: as of the files", self._read.unit)

    def page(self, token: str | None) -> Page:
        """Everything at once."""
        found = self._read
        values = [None] * len(found) if found.y is None else found.y.tolist()
        items = [FetchedCrystal(*each) for each in zip(found.ids, found.structures, values, strict=True)]
        return Page((*items, *found.issues), None, len(items) + len(found.issues))

    @cached_property
    def _read(self) -> CrystalDataset:
        return require_crystals(read(self.path, target=self.target))
