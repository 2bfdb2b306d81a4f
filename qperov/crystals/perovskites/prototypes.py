"""Structure types of halide perovskites and their relatives, with ions, cells and free coordinates drawn at random.

All are built of close-packed AX₃ layers with B in octahedra of X: coordinates are those of ideal packing, and what the
space group leaves free is drawn about them. Cells are drawn about those of known compounds, to a percent or so.

Looked up were CH₃NH₃SnI₃, 6.243 Å cubic and 8.727 × 12.502 Å in I4/mcm (Y. Takahashi et al., Dalton Trans. 40, 5563
(2011), COD 7015449), CH₃NH₃Sn₀.₄₃Pb₀.₅₇I₃, 8.855 × 12.535 Å (C. C. Stoumpos et al., Inorg. Chem. 52, 9019 (2013), COD
4335641), and Cs₂AgBiCl₆, 10.777 Å (E. T. McClure et al., Chem. Mater. 28, 1348 (2016)). Which compounds have layers and
which have dimers: A. J. Lehner et al., "Crystal and Electronic Structures of Complex Bismuth Iodides A₃Bi₂I₉", Chem.
Mater.; which layers are monoclinic: J.-H. Chang, T. Doert and M. Ruck, Z. Anorg. Allg. Chem. 642, 736 (2016),
doi:10.1002/zaac.201600179.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.groups import SpaceGroup

#: Molecules scatter as an atom, whose share on the site gives them their electrons: 18 and 24.
MOLECULES: Mapping[str, Mapping[str, float]] = {"MA": {"K": 18 / 19}, "FA": {"Rb": 24 / 37}}
#: About the edges (Å) of cubic cells of lead halides; mixtures lie between, in proportion.
LEAD_EDGES = {
    "I": {"Cs": 6.23, "MA": 6.28, "FA": 6.36},
    "Br": {"Cs": 5.87, "MA": 5.93, "FA": 5.99},
    "Cl": {"Cs": 5.61, "MA": 5.68, "FA": 5.74},
}
#: MAPb(I, Br)₃ with a lesser share of bromide is tetragonal.
LEAST_BROMIDE = 0.15
#: About the hexagonal a and c (Å) of one layer of A₃B₂X₉; of dimers, c is that of two.
LAYERED_CELLS = {
    ("Cs", "Bi", "Br"): (7.97, 9.87),
    ("Cs", "Sb", "Br"): (7.93, 9.72),
    ("Rb", "Sb", "Br"): (7.71, 9.45),
    ("Cs", "Sb", "I"): (8.42, 10.39),
    ("Rb", "Sb", "I"): (8.22, 10.27),
    ("K", "Sb", "I"): (8.12, 10.28),
    ("K", "Bi", "I"): (8.16, 10.42),
}
DIMER_CELLS = {
    ("Cs", "Bi", "I"): (8.40, 21.18),
    ("Cs", "Sb", "I"): (8.35, 20.92),
    ("MA", "Bi", "I"): (8.57, 21.75),
    ("MA", "Sb", "I"): (8.53, 21.55),
    ("FA", "Bi", "I"): (8.75, 21.90),
}
RUBIDIUM_CELLS = {"I": (8.32, 10.48), "Br": (7.78, 9.70)}
#: Edges are drawn from a range of so much about these.
SPREAD = 0.008
#: Fractional coordinates that agree to this are one site.
SAME_SITE = 1e-3

Ion = dict[str, float] | str


@dataclass(frozen=True)
class Prototype:
    """A structure type.

    Attributes
    ----------
    name : str
    space_group : str
        Hermann–Mauguin symbol.
    draw : callable
        Generator → Structure.
    """

    name: str
    space_group: str
    draw: Callable[[np.random.Generator], Structure]


def draw_prototypes(count: int, *, random_state: int = 0) -> tuple[list[Structure], list[str]]:
    """Crystals of every structure type, ``count`` of each, and their space groups.

    Parameters
    ----------
    count : int
    random_state : int
    """
    crystals, space_groups = [], []
    for number, prototype in enumerate(PROTOTYPES):
        rng = np.random.default_rng([random_state, number])
        crystals += [prototype.draw(rng) for _ in range(count)]
        space_groups += [prototype.space_group] * count
    return crystals, space_groups


@cache
def _operations(space_group: str) -> tuple[np.ndarray, np.ndarray]:
    operations = SpaceGroup(space_group).symmetry_ops
    matrices = sorted(np.round(operation.affine_matrix, 6).tolist() for operation in operations)
    return np.array(matrices)[:, :3, :3], np.array(matrices)[:, :3, 3]


def _crystal(
    space_group: str, lattice: Lattice, ions: Sequence[Ion], positions: Sequence[Sequence[float]]
) -> Structure:
    """What pymatgen's ``Structure.from_spacegroup`` gives, a hundred times as fast where it is called again."""
    rotations, translations = _operations(space_group)
    species: list[Ion] = []
    sites: list[np.ndarray] = []
    for ion, position in zip(ions, positions, strict=True):
        images = np.mod(np.round(rotations @ np.asarray(position) + translations, 9), 1.0)
        apart = images[:, None] - images[None]
        same = np.abs(apart - np.round(apart)).max(axis=2) < SAME_SITE
        orbit = images[same.argmax(axis=1) == np.arange(len(images))]
        species += [ion] * len(orbit)
        sites += list(orbit)
    return Structure(lattice, species, sites)


def _ion(name: str) -> dict[str, float]:
    return dict(MOLECULES.get(name, {name: 1.0}))


def _mixture(first: str, second: str, share: float) -> dict[str, float]:
    """Two ions on one site, ``share`` of it the second."""
    found: dict[str, float] = {}
    for name, part in ((first, 1 - share), (second, share)):
        for element, amount in _ion(name).items():
            found[element] = found.get(element, 0.0) + part * amount
    return found


def _cubic(rng: np.random.Generator) -> Structure:
    """APbX₃ with A mostly FA or MA, X of I and Br, rarely Cl; MAPbI₃, being tetragonal, only with bromide."""
    anions = ("Br", "Cl") if rng.random() < 0.1 else ("I", "Br")
    minor = rng.beta(0.5, 1.0) / 2
    first, second = str(rng.choice(["FA", "MA"])), str(rng.choice(["FA", "MA", "Cs"]))
    least = LEAST_BROMIDE if first == "MA" else 0.0
    share = least + (1 - least) * rng.beta(0.6, 1.2)
    edges = [(1 - minor) * LEAD_EDGES[anion][first] + minor * LEAD_EDGES[anion][second] for anion in anions]
    edge = ((1 - share) * edges[0] + share * edges[1]) * rng.uniform(1 - SPREAD, 1 + SPREAD)
    a = _mixture(first, second, minor)
    x = _mixture(*anions, share)
    positions = [(0.5, 0.5, 0.5), (0, 0, 0), (0.5, 0, 0), (0, 0.5, 0), (0, 0, 0.5)]
    return Structure(Lattice.cubic(edge), [a, {"Pb": 1.0}, x, x, x], positions)


def _tetragonal(rng: np.random.Generator) -> Structure:
    """A(Pb, Sn)I₃ whose octahedra turn about c by φ, opposite from layer to layer: x = (1 − tan φ)/4 on 8h."""
    tin = rng.choice([0.0, 1.0, rng.random()])
    edge = (1 - tin) * rng.uniform(6.23, 6.29) + tin * rng.uniform(6.15, 6.24)
    ratio = rng.uniform(1.0, 1.015)
    x = (1 - np.tan(np.radians(rng.uniform(7, 13)))) / 4
    return _crystal(
        "I4/mcm",
        Lattice.tetragonal(np.sqrt(2) * edge, 2 * ratio * edge),
        [_mixture("MA", "FA", rng.random() * 0.3), _mixture("Pb", "Sn", tin), {"I": 1.0}, {"I": 1.0}],
        [(0, 0.5, 0.25), (0, 0, 0), (0, 0, 0.25), (x, x + 0.5, 0)],
    )


def _double(rng: np.random.Generator) -> Structure:
    """Cs₂AgBX₆, B = Bi or Sb."""
    anion, edge = ("Br", rng.uniform(11.1, 11.35)) if rng.random() < 0.8 else ("Cl", rng.uniform(10.65, 10.85))
    return _crystal(
        "Fm-3m",
        Lattice.cubic(edge),
        ["Cs", "Ag", str(rng.choice(["Bi", "Bi", "Sb"])), anion],
        [(0.25, 0.25, 0.25), (0.5, 0, 0), (0, 0, 0), (rng.uniform(0.245, 0.255), 0, 0)],
    )


def _layered(rng: np.random.Generator) -> Structure:
    """A₃B₂X₉ of corner-sharing double layers, a third of the B sites of a perovskite empty along [111]."""
    ions = list(LAYERED_CELLS)[int(rng.integers(len(LAYERED_CELLS)))]
    return _layers(rng, ions, LAYERED_CELLS[ions])


def _layers(rng: np.random.Generator, ions: tuple[str, str, str], cell: tuple[float, float]) -> Structure:
    z_a, z_b, z_x = 2 / 3 + rng.normal(0, 0.004), rng.uniform(0.180, 0.195), 1 / 3 + rng.normal(0, 0.004)
    x_x = 1 / 6 + rng.normal(0, 0.003)
    a, b, x = ions
    return _crystal(
        "P-3m1",
        _hexagonal(rng, cell),
        [_ion(a), _ion(a), _ion(b), _ion(x), _ion(x)],
        [(0, 0, 0), (1 / 3, 2 / 3, z_a), (1 / 3, 2 / 3, z_b), (0.5, 0, 0), (x_x, -x_x, z_x)],
    )


def _hexagonal(rng: np.random.Generator, cell: tuple[float, float]) -> Lattice:
    a, c = np.array(cell) * rng.uniform(1 - SPREAD, 1 + SPREAD, 2)
    return Lattice.hexagonal(a, c)


def _dimers(rng: np.random.Generator) -> Structure:
    """A₃B₂I₉ with pairs of octahedra that share a face."""
    a, b, x = list(DIMER_CELLS)[int(rng.integers(len(DIMER_CELLS)))]
    z_a, z_b, z_x = 1 / 12 + rng.normal(0, 0.002), rng.uniform(0.840, 0.850), 1 / 12 + rng.normal(0, 0.002)
    x_h, x_k = 0.5 + rng.normal(0, 0.004), 5 / 6 + rng.normal(0, 0.003)
    return _crystal(
        "P6_3/mmc",
        _hexagonal(rng, DIMER_CELLS[a, b, x]),
        [_ion(a), _ion(a), _ion(b), _ion(x), _ion(x)],
        [(0, 0, 0.25), (1 / 3, 2 / 3, z_a), (1 / 3, 2 / 3, z_b), (x_h, 2 * x_h, 0.25), (x_k, 2 * x_k, z_x)],
    )


#: Operations of the doubled orthohexagonal cell of the layered type that its monoclinic relatives keep.
MONOCLINIC = {
    "Pc": (((1, 1, 1), (0, 0, 0)), ((1, -1, 1), (0, 0, 0.5))),
    "P2_1/a": (
        ((1, 1, 1), (0, 0, 0)),
        ((-1, -1, -1), (0, 0, 0)),
        ((-1, 1, -1), (0.5, 0.5, 0)),
        ((1, -1, 1), (0.5, 0.5, 0)),
    ),
}


def _monoclinic(space_group: str, anions: tuple[str, ...]) -> Callable[[np.random.Generator], Structure]:
    """Rb₃Bi₂X₉: the layered type with axes a + 2b, a, 2c, the first up to 4 % longer than √3 times the second, all
    ions displaced at random as the space group allows."""

    def draw(rng: np.random.Generator) -> Structure:
        x = str(rng.choice(anions))
        layers = _layers(rng, ("Rb", "Bi", x), RUBIDIUM_CELLS[x])
        cell = layers.make_supercell([[1, 2, 0], [1, 0, 0], [0, 0, 2]])
        # axes a and b exchanged with sign would be left-handed; only lengths and the angle matter here
        a, b, c = cell.lattice.abc
        free = rng.normal(0, rng.uniform(0.1, 0.4), (len(cell), 3)) / (a, b, c)
        ideal = cell.frac_coords
        shifts = np.zeros_like(ideal)
        for signs, translation in MONOCLINIC[space_group]:
            images = ideal * signs + translation
            steps = images[:, None] - ideal[None]
            partner = np.abs(steps - np.round(steps)).sum(axis=2).argmin(axis=1)
            shifts[partner] += free * signs
        shifts /= len(MONOCLINIC[space_group])
        longer = 1 + rng.uniform(0, 0.02)
        lattice = Lattice.from_parameters(a * longer, b / longer, c, 90, 90 + rng.uniform(0, 1), 90)
        return Structure(lattice, cell.species, ideal + shifts)

    return draw


#: The seven space groups of halide perovskite films.
PROTOTYPES = (
    Prototype("cubic perovskite", "Pm-3m", _cubic),
    Prototype("tetragonal perovskite", "I4/mcm", _tetragonal),
    Prototype("double perovskite", "Fm-3m", _double),
    Prototype("layered A3B2X9", "P-3m1", _layered),
    Prototype("A3B2X9 of dimers", "P6_3/mmc", _dimers),
    Prototype("Rb3Bi2I9", "Pc", _monoclinic("Pc", ("I", "I", "Br"))),
    Prototype("Rb3Bi2Br9", "P2_1/a", _monoclinic("P2_1/a", ("Br",))),
)
