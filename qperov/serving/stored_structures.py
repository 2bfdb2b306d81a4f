"""Crystals inside a fitted featurizer, as text while it is in a file.

A featurizer may hold crystals (a reference, the parent lattice of correlation functions). pymatgen's own form of a
crystal can name classes to import, so that reading it could run code; the text used here cannot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from types import MethodType
from typing import Any

from pymatgen.core import Structure

from qperov.datasets.structure_text import from_text, to_text


@dataclass(frozen=True)
class StoredStructure:
    """A crystal as text."""

    text: str


def with_texts(fitted: Any) -> Any:
    """A copy of an object in which text stands for each crystal, without what can be worked out again."""
    return _replaced(fitted, lambda part: StoredStructure(to_text(part)) if isinstance(part, Structure) else None)


def with_crystals(stored: Any) -> Any:
    """The object that :func:`with_texts` made a copy of.

    Raises
    ------
    ValueError, KeyError, IndexError, TypeError
        If a text is of no crystal.
    """
    return _replaced(stored, lambda part: from_text(part.text) if isinstance(part, StoredStructure) else None)


def _replaced(part: Any, replace: Callable[[Any], Any]) -> Any:
    """A copy of our own objects, and of containers, in which ``replace`` has its way where it returns something."""
    if (other := replace(part)) is not None:
        return other
    if isinstance(part, MethodType):
        return MethodType(part.__func__, _replaced(part.__self__, replace))
    if type(part) in (list, tuple):
        return type(part)(_replaced(item, replace) for item in part)
    if not type(part).__module__.startswith("qperov."):
        return part
    copied = object.__new__(type(part))
    for name, value in vars(part).items():
        if not isinstance(getattr(type(part), name, None), cached_property):
            copied.__dict__[name] = _replaced(value, replace)
    return copied
