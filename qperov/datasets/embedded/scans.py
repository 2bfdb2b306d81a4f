"""Measured patterns as one small file: angles, intensities as whole numbers, targets, groups, sources and licence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qperov.datasets.embedded.compact_file import embedded_compact, read_compact, write_compact
from qperov.datasets.pattern_dataset import PatternDataset
from qperov.diffraction.measured import MeasuredPattern
from qperov.errors import DatasetNameError, MissingLabelError

#: Angles are kept as whole numbers of this (degrees).
ANGLE_STEP = 1e-5
_WHAT = "a set of measured patterns"


@dataclass(frozen=True, eq=False)
class PatternTarget:
    """One quantity, or class, of the samples of a set.

    Attributes
    ----------
    unit : str or None
    values : tuple of float, str or None
        One a sample; None where there is none.
    provenance : str
        Where the labels come from.
    missing : str
        Why some samples have none.
    cautions : tuple of str
    """

    unit: str | None
    values: tuple[float | str | None, ...]
    provenance: str
    missing: str = ""
    cautions: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class PatternSet:
    """Measured patterns with all that is known of them.

    Attributes
    ----------
    name : str
    patterns : tuple of MeasuredPattern
        Their names are the ids.
    groups : tuple of int
        What belongs on one side of a split.
    targets : dict of str to PatternTarget
        The first is the one that is taken where none is named.
    cautions, sources : tuple of str
    intensity_step : float
        Intensities are kept as whole numbers of this.
    """

    name: str
    patterns: tuple[MeasuredPattern, ...]
    groups: tuple[int, ...]
    targets: Mapping[str, PatternTarget]
    cautions: tuple[str, ...]
    sources: tuple[str, ...]
    intensity_step: float = 1.0

    def dataset(self, target: str | None = None) -> PatternDataset:
        """The patterns that have a value of a target; the others are issues.

        Raises
        ------
        DatasetNameError
            If there is no such target.
        """
        name = target or next(iter(self.targets))
        if name not in self.targets:
            raise DatasetNameError(f"{self.name} has no target {name!r}; it has {', '.join(self.targets)}")
        chosen = self.targets[name]
        rows = [row for row, value in enumerate(chosen.values) if value is not None]
        return PatternDataset(
            name=self.name,
            patterns=tuple(self.patterns[row] for row in rows),
            ids=tuple(self.patterns[row].name for row in rows),
            y=np.array([chosen.values[row] for row in rows]),
            target=name,
            unit=chosen.unit,
            provenance=(chosen.provenance,) * len(rows),
            issues=tuple(
                MissingLabelError(self.patterns[row].name, chosen.missing)
                for row, value in enumerate(chosen.values)
                if value is None
            ),
            cautions=(*self.cautions, *chosen.cautions),
            known_groups=np.array([self.groups[row] for row in rows]),
            sources=self.sources,
        )


def write_pattern_set(patterns: PatternSet, path: str | Path) -> None:
    """Write a set as compressed JSON; equal sets give equal bytes."""
    grids: list[list[int]] = []
    written = []
    for pattern in patterns.patterns:
        grid = _differences(pattern.two_theta, ANGLE_STEP)
        if grid not in grids:
            grids.append(grid)
        written.append(
            {
                "id": pattern.name,
                "grid": grids.index(grid),
                "geometry": pattern.geometry,
                "remarks": list(pattern.remarks),
                "intensity": np.rint(pattern.intensity / patterns.intensity_step).astype(int).tolist(),
            }
        )
    first = patterns.patterns[0]
    content = {
        "name": patterns.name,
        "sources": list(patterns.sources),
        "cautions": list(patterns.cautions),
        "wavelength": first.wavelength,
        "kalpha": first.kalpha,
        "unit": first.unit,
        "angle_step": ANGLE_STEP,
        "intensity_step": patterns.intensity_step,
        "grids": grids,
        "targets": {
            name: {
                "unit": target.unit,
                "provenance": target.provenance,
                "missing": target.missing,
                "cautions": list(target.cautions),
                "values": list(target.values),
            }
            for name, target in patterns.targets.items()
        },
        "groups": list(patterns.groups),
        "patterns": written,
    }
    write_compact(content, path)


def read_pattern_set(path: str | Path) -> PatternSet:
    """Read a set that ``write_pattern_set`` wrote.

    Raises
    ------
    FileFormatError
        If the file is anything else.
    """
    return read_compact(Path(path).read_bytes(), str(path), _parse, _WHAT)


def embedded_pattern_set(name: str) -> PatternSet:
    """A set that comes with the package.

    Raises
    ------
    FileFormatError
        If the file is damaged.
    """
    return read_compact(*embedded_compact(name), _parse, _WHAT)


def _differences(values: Sequence[float] | np.ndarray, step: float) -> list[int]:
    return np.diff(np.rint(np.asarray(values) / step).astype(int), prepend=0).tolist()


def _parse(shipped: dict[str, Any]) -> PatternSet:
    # whole numbers times 1e-5 are not the decimals that a file has, whole numbers by 1e5 are
    grids = [np.cumsum(grid) / round(1 / shipped["angle_step"]) for grid in shipped["grids"]]
    scale = shipped["intensity_step"]
    patterns = tuple(
        MeasuredPattern(
            grids[each["grid"]],
            np.array(each["intensity"]) / round(1 / scale) if scale < 1 else np.array(each["intensity"]) * scale,
            shipped["wavelength"],
            None if shipped["kalpha"] is None else (shipped["kalpha"][0], shipped["kalpha"][1]),
            each["id"],
            geometry=each["geometry"],
            unit=shipped["unit"],
            remarks=tuple(each["remarks"]),
        )
        for each in shipped["patterns"]
    )
    targets = {
        name: PatternTarget(
            target["unit"],
            tuple(target["values"]),
            target["provenance"],
            target["missing"],
            tuple(target["cautions"]),
        )
        for name, target in shipped["targets"].items()
    }
    return PatternSet(
        shipped["name"],
        patterns,
        tuple(shipped["groups"]),
        targets,
        tuple(shipped["cautions"]),
        tuple(shipped["sources"]),
        scale,
    )
