"""The same crystal, written down with other cell vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pymatgen.core import Lattice, Structure


def permuted_cell(structure: Structure, order: Sequence[int], signs: Sequence[int]) -> Structure:
    """The crystal with cell vectors a′ᵢ = sᵢ a_p(i), and so x′ᵢ = sᵢ x_p(i); no atom moves.

    Parameters
    ----------
    structure : Structure
    order : sequence of int
        p, a permutation of 0, 1, 2.
    signs : sequence of int
        s, each 1 or −1.

    Returns
    -------
    Structure
        With coordinates in [0, 1), and without site properties.
    """
    if sorted(order) != [0, 1, 2] or len(signs) != 3 or not set(signs) <= {1, -1}:
        raise ValueError(f"cell vectors are put in another order and turned round, not {list(order)}, {list(signs)}")
    turned = np.asarray(signs)
    lattice = Lattice(turned[:, None] * structure.lattice.matrix[list(order)])
    positions = structure.frac_coords[:, list(order)] * turned
    return Structure(lattice, structure.species_and_occu, positions % 1.0)


def draw_equivalent_cells(structures: Sequence[Structure], count: int, random_state: int) -> list[Structure]:
    """Crystals in cells drawn from the 48 of `permuted_cell`.

    An array of edges, angles and fractional coordinates differs from cell to cell of one crystal. A network that meets
    several has more to learn from, and learns that the choice means nothing.

    Parameters
    ----------
    structures : sequence of Structure
        n of them.
    count : int
        Cells of each.
    random_state : int

    Returns
    -------
    list of Structure
        count · n; those of crystal i are at i, i + n, i + 2n and so on.
    """
    rng = np.random.default_rng(random_state)
    return [
        permuted_cell(structure, rng.permutation(3).tolist(), rng.choice([1, -1], 3).tolist())
        for _ in range(count)
        for structure in structures
    ]
