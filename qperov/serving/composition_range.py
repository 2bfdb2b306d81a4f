"""The compositions that a model was trained on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pymatgen.core import Structure

#: Atomic fractions that agree to this are equal.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class CompositionRange:
    """Least and largest atomic fraction of each element among the training crystals.

    Attributes
    ----------
    fractions : dict of str to (float, float)
    """

    fractions: Mapping[str, tuple[float, float]]

    @classmethod
    def of(cls, structures: Iterable[Structure]) -> CompositionRange:
        """The range of some crystals."""
        each = [_fractions(structure) for structure in structures]
        elements = sorted({element for fractions in each for element in fractions})
        return cls(
            {
                element: (
                    min(fractions.get(element, 0.0) for fractions in each),
                    max(fractions.get(element, 0.0) for fractions in each),
                )
                for element in elements
            }
        )

    def unseen(self, structure: Structure) -> list[str]:
        """Elements of a crystal that no training crystal has."""
        return sorted(set(_fractions(structure)) - set(self.fractions))

    def remarks(self, structure: Structure) -> list[str]:
        """What of a crystal's composition lies outside, in words; nothing where all of it lies inside."""
        if unseen := self.unseen(structure):
            return [f"the model has never seen {' or '.join(unseen)}"]
        fractions, found = _fractions(structure), []
        for element, (low, high) in self.fractions.items():
            share = fractions.get(element, 0.0)
            if not low - TOLERANCE <= share <= high + TOLERANCE:
                known = f"{low:.1%}" if high - low < TOLERANCE else f"{low:.1%} to {high:.1%}"
                found.append(f"{share:.1%} of its atoms are {element} ({known} in the training crystals)")
        return found


def _fractions(structure: Structure) -> dict[str, float]:
    amounts = structure.composition.get_el_amt_dict()
    total = sum(amounts.values())
    return {element: amount / total for element, amount in amounts.items()}
