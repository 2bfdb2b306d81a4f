"""Shannon's ionic radii by coordination.

The table is pymatgen's; Shannon gives no radius for Sn²⁺, and the one used by Bartel et al. is added.

References
----------
R. D. Shannon, Acta Cryst. A 32, 751 (1976), doi:10.1107/S0567739476001551.

C. J. Bartel et al., Sci. Adv. 5, eaav0693 (2019), doi:10.1126/sciadv.aav0693, Table S1.
"""

from __future__ import annotations

from functools import cache

from pymatgen.core import Element, Species

from qperov.errors import CompositionError

_ROMAN = dict(enumerate(("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIV"), start=1))
_ROMAN[14] = _ROMAN.pop(13)

#: Radii (Å) that Shannon's table lacks: element, charge → coordination → radius.
SUPPLEMENT = {("Sn", 2): {6: 1.15}}


def shannon_radii(species: str | Species) -> dict[int, float]:
    """Ionic radii (Å) of an ion by coordination number, the high-spin one where there are two.

    Square-planar and pyramidal surroundings are left out.

    Parameters
    ----------
    species : str or Species
        With its charge, ``"Ti4+"``.

    Raises
    ------
    CompositionError
        If the charge is missing or not whole, or there is no radius for the ion.
    """
    ion = as_ion(species)
    radii = dict(_tabulated(ion.symbol, charge_of(ion)))
    if not radii:
        charges = ", ".join(f"{charge:+d}" for charge in tabulated_charges(ion.symbol)) or "none"
        raise CompositionError(f"no Shannon radius for {ion}; charges of {ion.symbol} that have one: {charges}")
    return radii


def shannon_radius(species: str | Species, coordination: int, *, nearest: bool = False) -> float:
    """Ionic radius (Å) of an ion in a coordination, the high-spin one where there are two.

    Parameters
    ----------
    species : str or Species
        With its charge, ``"Ti4+"``.
    coordination : int
        Number of neighbours.
    nearest : bool
        Take the nearest coordination that is tabulated, the higher one of two, where this one is not: the rule of
        Bartel et al. for large cations (Ag⁺ is known up to VIII).

    Raises
    ------
    CompositionError
        If there is no radius.

    Examples
    --------
    >>> shannon_radius("Ca2+", 12), shannon_radius("Ti4+", 6), shannon_radius("O2-", 6)
    (1.34, 0.605, 1.4)
    """
    radii = shannon_radii(species)
    if coordination in radii:
        return radii[coordination]
    if not nearest:
        known = ", ".join(_ROMAN[number] for number in radii)
        raise CompositionError(
            f"no Shannon radius for {species} in coordination {_ROMAN.get(coordination, coordination)}; "
            f"there are: {known}"
        )
    return radii[min(radii, key=lambda number: (abs(number - coordination), -number))]


def tabulated_charges(symbol: str) -> list[int]:
    """Charges of an element for which :func:`shannon_radii` has radii."""
    # a few rows of the table are blank
    charges = {int(charge) for charge in Element(symbol).data.get("Shannon radii", {}) if charge}
    charges |= {charge for name, charge in SUPPLEMENT if name == symbol}
    return sorted(charge for charge in charges if _tabulated(symbol, charge))


def charge_of(ion: Species) -> int:
    """Whole charge of an ion."""
    return int(ion.oxi_state or 0)


def as_ion(species: str | Species) -> Species:
    """The species with its whole, non-zero charge.

    Raises
    ------
    CompositionError
        If there is no such charge.
    """
    try:
        ion = species if isinstance(species, Species) else Species.from_str(species)
    except ValueError as error:
        raise CompositionError(f"{species!r} is not an ion with a charge, as in 'Ti4+'") from error
    charge = getattr(ion, "oxi_state", None)
    if not charge or charge != int(charge):
        raise CompositionError(f"{species} needs a whole charge, as in 'Ti4+'")
    return ion


@cache
def _tabulated(symbol: str, charge: int) -> tuple[tuple[int, float], ...]:
    numbers = {roman: number for number, roman in _ROMAN.items()}
    table = Element(symbol).data.get("Shannon radii", {}).get(str(charge), {})
    found = {
        numbers[roman]: spins.get("High Spin", next(iter(spins.values())))["ionic_radius"]
        for roman, spins in table.items()
        if roman in numbers
    }
    found = {**SUPPLEMENT.get((symbol, charge), {}), **found}
    return tuple(sorted(found.items()))
