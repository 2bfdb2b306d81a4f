"""Datasets of crystals and of measured patterns: samples, ids, target, groups and provenance, kept in step."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np

from qperov.errors import DatasetKindError, EmptyDatasetError, ReadingError

if TYPE_CHECKING:
    from pymatgen.core import Structure

#: Samples that a notebook lists.
FEW_ROWS = 5


class Dataset(ABC):
    """Samples with one target each; immutable. What `CrystalDataset` and `PatternDataset` have in common."""

    #: The field that holds the samples, what reports call them, and whether labels may be the names of classes.
    SAMPLES: ClassVar[str]
    CALLED: ClassVar[str]
    CLASSES: ClassVar[bool] = False

    name: str
    ids: tuple[str, ...]
    y: np.ndarray | None
    target: str | None
    unit: str | None
    provenance: tuple[str, ...]
    issues: tuple[ReadingError, ...]
    cautions: tuple[str, ...]
    known_groups: np.ndarray | None
    known_noise: float | None

    @property
    def samples(self) -> tuple[Any, ...]:
        """What is learnt from, whatever it is: crystals or measured patterns."""
        return getattr(self, self.SAMPLES)

    @property
    @abstractmethod
    def groups(self) -> np.ndarray:
        """Integers, shape (n,); samples of equal numbers belong on one side of every split."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 over ids, samples and labels (hex)."""

    def __post_init__(self) -> None:
        for field in (self.SAMPLES, "ids", "provenance", "issues"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        n = len(self.samples)
        lengths = {"ids": len(self.ids)}
        if self.provenance:
            lengths["provenance"] = len(self.provenance)
        for field in ("y", "known_groups"):
            value = getattr(self, field)
            if value is not None:
                if field == "y" and self.CLASSES and np.asarray(value).dtype.kind == "U":
                    frozen = np.array(value)
                else:
                    kind = np.int64 if field == "known_groups" else np.float64
                    frozen = np.array(value, dtype=kind) + 0  # −0.0, which SQLite does not keep, becomes 0.0
                if frozen.ndim != 1:
                    raise ValueError(f"{field} must have one dimension, not shape {frozen.shape}")
                frozen.flags.writeable = False
                object.__setattr__(self, field, frozen)
                lengths[field] = len(frozen)
        wrong = {field: length for field, length in lengths.items() if length != n}
        if wrong:
            raise ValueError(f"{n} {self.SAMPLES}, but lengths {wrong}: every field needs one entry a sample")
        if len(set(self.ids)) != n:
            twice = [i for i, count in Counter(self.ids).items() if count > 1][:3]
            raise ValueError(f"ids must be unique; these are not: {', '.join(twice)}")

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        target = f", target={self.target!r} [{self.unit}]" if self.y is not None else ""
        return f"{type(self).__name__}({self.name!r}, {len(self)} {self.SAMPLES}{target})"

    @abstractmethod
    def _columns(self) -> dict[str, Any]:
        """What a notebook shows of the first rows, beside ids and labels."""

    def _repr_html_(self) -> str:
        import pandas as pd

        head = repr(self).removeprefix(f"{type(self).__name__}(").removesuffix(")")
        if self.y is not None and len(self) and self.y.dtype.kind == "f":
            head += f"; mean {self.y.mean():.6g}, standard deviation {self.y.std():.4g}"
        columns: dict[str, Any] = {"id": self.ids[:FEW_ROWS], **self._columns()}
        if self.y is not None:
            columns[f"{self.target} / {self.unit}" if self.unit else str(self.target)] = self.y[:FEW_ROWS]
        kinds = Counter(type(issue).__name__ for issue in self.issues)
        notes = [f"left out: {many} × {kind}" for kind, many in kinds.items()]
        notes += [f"caution: {caution}" for caution in self.cautions]
        more = f"<p>… and {len(self) - FEW_ROWS} more</p>" if len(self) > FEW_ROWS else ""
        table = pd.DataFrame(columns).to_html(index=False, float_format="{:.6g}".format)
        return f"<p>{escape(head)}</p>{table}{more}" + "".join(f"<p>{escape(note)}</p>" for note in notes)

    @property
    def about(self) -> dict[str, Any]:
        """What a record keeps of the dataset: name, fingerprint, size, and what was left out."""
        return {"name": self.name, "fingerprint": self.fingerprint, "n": len(self), "issues": self.issues}

    def take(self, indices: Sequence[int] | np.ndarray) -> Self:
        """The dataset of the rows ``indices``, in that order, or of the rows where a boolean mask is true.

        Raises
        ------
        IndexError
            If a row does not exist, or a mask is not as long as the dataset.
        """
        rows = np.arange(len(self))[np.asarray(indices, dtype=None if len(indices) else np.int64)].tolist()
        return replace(
            cast(Any, self),
            **{self.SAMPLES: tuple(self.samples[i] for i in rows)},
            ids=tuple(self.ids[i] for i in rows),
            y=None if self.y is None else self.y[rows],
            provenance=tuple(self.provenance[i] for i in rows) if self.provenance else (),
            known_groups=self.groups[rows],
        )


@dataclass(frozen=True, eq=False, repr=False)
class CrystalDataset(Dataset):
    """Crystals with one target each; immutable.

    Attributes
    ----------
    name : str
        What reports call the dataset.
    structures : tuple of pymatgen Structure
    ids : tuple of str
        Unique, in the order of ``structures``.
    y : ndarray of float, shape (n,), or None
        The target, in ``unit``; None when no target was asked for.
    target : str or None
        Name of the target.
    unit : str or None
        For example ``"meV/atom"``.
    provenance : tuple of str
        Where each label comes from, in words that a report can print.
    issues : tuple of ReadingError
        What was left out while reading, and why.
    cautions : tuple of str
        Sentences about the labels that a reader must see beside every score.
    known_groups : ndarray of int, shape (n,), or None
        Symmetry classes where they are known beforehand, or larger groups that must stay in one fold; otherwise
        ``groups`` works them out.
    known_noise : float or None
        ``label_noise`` of the copies that ``one_per_class`` merged, in ``unit``.
    """

    SAMPLES, CALLED = "structures", "crystals"

    name: str
    structures: tuple[Structure, ...]
    ids: tuple[str, ...]
    y: np.ndarray | None = None
    target: str | None = None
    unit: str | None = None
    provenance: tuple[str, ...] = ()
    issues: tuple[ReadingError, ...] = ()
    cautions: tuple[str, ...] = ()
    known_groups: np.ndarray | None = None
    known_noise: float | None = None

    def _columns(self) -> dict[str, Any]:
        shown = self.structures[:FEW_ROWS]
        return {
            "composition": [structure.composition.reduced_formula for structure in shown],
            "atoms": [len(structure) for structure in shown],
        }

    @cached_property
    def groups(self) -> np.ndarray:
        """Symmetry classes, shape (n,): equal numbers mark crystals that a symmetry operation maps onto each other."""
        if self.known_groups is not None:
            return self.known_groups
        from qperov.crystals.symmetry import symmetry_classes

        classes = symmetry_classes(self.structures)
        classes.flags.writeable = False
        return classes

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over ids, cells, species, positions (1e-8) and labels (hex)."""
        digest = hashlib.sha256()
        for i, (structure_id, structure) in enumerate(zip(self.ids, self.structures, strict=True)):
            digest.update(structure_id.encode())
            for numbers in (structure.lattice.matrix, structure.frac_coords):
                # 0.0 is added because it turns −0.0 into 0.0
                digest.update((np.round(numbers, 8) + 0.0).tobytes())
            digest.update(" ".join(site.species_string for site in structure).encode())
            if self.y is not None:
                digest.update(self.y[i].tobytes())
        return digest.hexdigest()

    def one_per_class(self) -> CrystalDataset:
        """One structure per symmetry class: the first, labelled with the mean of its class.

        Copies of one crystal carry no new information; counted several times they only weigh the
        statistics. Different crystals of one known group stay apart. Groups are kept, so the result can still be
        split by them, and so is ``label_noise``.

        Raises
        ------
        EmptyDatasetError
            If there is no structure.
        """
        if not len(self):
            raise EmptyDatasetError(f"{self.name}: no structures")
        _, first, inverse = np.unique(self._copies, return_index=True, return_inverse=True)
        order = np.argsort(first)
        merged = self.take(first[order])
        if self.y is None:
            return merged
        means = np.bincount(inverse, weights=self.y) / np.bincount(inverse)
        return replace(merged, y=means[order], known_noise=self.label_noise)

    def in_unit(self, unit: str) -> CrystalDataset:
        """The dataset with its energies in another unit: ``eV/cell``, ``eV/atom``, ``meV/cell`` or ``meV/atom``.

        Raises
        ------
        ValueError
            If the labels are not energies in one of these units.
        """
        from qperov.crystals.units import convert_energies

        if self.y is None:
            raise ValueError(f"{self.name}: no labels to convert")
        energies = convert_energies(self.y, self.structures, self.unit, unit)
        noise, cautions = self.known_noise, self.cautions
        if noise is not None and len(self):
            noises = convert_energies(np.full(len(self), noise), self.structures, self.unit, unit)
            noise = float(noises[0])
            if not np.allclose(noises, noise, atol=0):
                noise = None
                cautions += (f"The label noise in {self.unit} has no single value in {unit}: cells differ in size.",)
        return replace(self, y=energies, unit=unit, known_noise=noise, cautions=cautions)

    @cached_property
    def _copies(self) -> np.ndarray:
        """Symmetry classes, also where ``groups`` are known and larger, shape (n,)."""
        if self.known_groups is None:
            return self.groups
        from qperov.crystals.symmetry import symmetry_classes

        _, inverse = np.unique(self.groups, return_inverse=True)
        rows = np.flatnonzero(np.bincount(inverse)[inverse] > 1)
        classes = np.zeros(len(self), dtype=np.int64)
        classes[rows] = symmetry_classes([self.structures[row] for row in rows])
        return inverse * (len(self) + 1) + classes

    @cached_property
    def label_noise(self) -> float | None:
        """Standard deviation of labels within symmetry classes (pooled), in ``unit``.

        Symmetry copies of one crystal have one true energy, so this bounds every score from below. Members of a known
        group that are different crystals do not count. None without labels, when no class has two members, or when all
        copies carry one and the same label: then they were not calculated independently and tell nothing about noise.
        """
        if self.y is None:
            return None
        _, inverse = np.unique(self._copies, return_inverse=True)
        counts = np.bincount(inverse)
        degrees = int((counts - 1).sum())
        if degrees == 0:
            return self.known_noise
        means = np.bincount(inverse, weights=self.y) / counts
        noise = float(np.sqrt(((self.y - means[inverse]) ** 2).sum() / degrees))
        return noise if noise > 1e-9 * np.abs(self.y).max() else None


def require_crystals(dataset: Dataset) -> CrystalDataset:
    """The dataset, if it is one of crystals.

    Raises
    ------
    DatasetKindError
        If it is not.
    """
    if not isinstance(dataset, CrystalDataset):
        raise DatasetKindError(
            f"{dataset.name} is a dataset of {dataset.SAMPLES}, where crystals are needed: name files of structures, "
            "or a dataset of crystals"
        )
    return dataset
