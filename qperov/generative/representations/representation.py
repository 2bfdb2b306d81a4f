"""What every invertible representation of crystals offers, and how the arrays given to it are checked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike
from pymatgen.core import Structure

#: How a representation that has a published form may be made.
MODES = ("repaired", "published")
#: Index of a rectangle in one crystal's array; ``arrays[..., *block]`` takes it out of a batch.
Block = tuple[slice, ...]


class Representation(Protocol):
    """Crystals as arrays of one shape, and such arrays as crystals.

    Nothing is learnt: the scaling is fixed, so that all values lie in [0, 1] or nearly so. Representations are frozen
    dataclasses of plain values.

    Attributes
    ----------
    shape : tuple of int
        Of one crystal's array.
    species : tuple of str
        Symbols of the elements it can hold.
    blocks : mapping of str to tuple of slice
        Rectangles of the array by their meaning; they do not overlap, and all else is zero.
    choices : mapping of str to tuple of int
        For blocks in which at most one entry is 1 and the others are 0: the axes along which that is so.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def species(self) -> tuple[str, ...]: ...

    @property
    def blocks(self) -> Mapping[str, Block]: ...

    @property
    def choices(self) -> Mapping[str, tuple[int, ...]]: ...

    def encode(self, structures: Sequence[Structure]) -> np.ndarray:
        """Arrays of crystals, float32, shape (n, \\*shape).

        Raises
        ------
        EmptyDatasetError
            There is none.
        RepresentationError
            Some do not fit; its ``reasons`` tell which, and why.
        """
        ...

    def decode(self, arrays: ArrayLike) -> list[Structure | None]:
        """Crystals of arrays of shape (n, \\*shape), which may be noisy; ``None`` where an array holds no crystal.

        Raises
        ------
        ValueError
            The arrays are of another shape.
        """
        ...


def checked_arrays(arrays: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    """Arrays of shape (n, \\*shape) as numbers.

    Raises
    ------
    ValueError
        They are of another shape, or no numbers.
    """
    checked = np.asarray(arrays)
    if checked.shape[1:] != shape or checked.ndim != len(shape) + 1:
        expected = ", ".join(map(str, shape))
        raise ValueError(f"arrays of this representation have the shape (n, {expected}), not {checked.shape}")
    if checked.dtype.kind not in "fiub":
        raise ValueError(f"arrays must be real numbers, not {checked.dtype}")
    return checked


def description(representation: Representation) -> dict[str, Any]:
    """Class and fields of a representation, as JSON gives them back."""
    fields: dict[str, Any] = {}
    if is_dataclass(representation) and not isinstance(representation, type):
        fields = asdict(representation)
    return json.loads(json.dumps({"name": type(representation).__name__} | fields))
