"""Whether charges of its elements can balance in a crystal: the rule of SMACT.

Every element takes one charge; the charges add up to zero; every cation is less electronegative (Pauling) than every
anion. Elements and alloys, all metals, pass. The charges an element may take are those that pymatgen lists: all of
them, or the common ones. SMACT has lists of its own. With all charges the verdict is that of SMACT's list of 2014 for
89 % of 981 random ABX₃ formulas and 95 % of 1000 random formulas of two to four elements; nearly all others SMACT
lets pass and this rule does not.

References
----------
D. W. Davies et al., J. Open Source Softw. 4, 1361 (2019), doi:10.21105/joss.01361: SMACT.

T. Xie et al., ICLR (2022), arXiv:2110.06197: alloys pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from functools import cache
from math import gcd, lcm
from typing import Literal

from pymatgen.core import Composition, Element

from qperov.generative.bench.verdict import Verdict

#: Which charges of an element count.
Charges = Literal["all", "common"]


def charge_verdict(composition: Composition, charges: Charges = "all") -> Verdict:
    """Whether charges can balance; an element or an alloy needs none."""
    if charges not in ("all", "common"):
        raise ValueError(f"charges must be 'all' or 'common', not {charges!r}")
    amounts = _whole_amounts(composition)
    if is_alloy(amounts):
        return Verdict(True)
    if nameless := sorted(name for name in amounts if electronegativity(name) is None):
        return Verdict(False, f"no electronegativity of {', '.join(nameless)}")
    if balanced_charges(composition, charges) is None:
        which = "" if charges == "all" else "common "
        return Verdict(False, f"no {which}charges balance in {composition.element_composition.reduced_formula}")
    return Verdict(True)


def is_alloy(elements: Iterable[str]) -> bool:
    """One element alone, or metals alone."""
    kinds = [Element(name) for name in elements]
    return len(kinds) == 1 or all(kind.is_metal for kind in kinds)


def balanced_charges(composition: Composition, charges: Charges = "all") -> dict[str, int] | None:
    """One charge of each element so that they add up to zero and no cation attracts electrons more than an anion.

    Charges that sites already carry are not looked at.

    Parameters
    ----------
    composition : Composition
        Amounts that are not whole are made so by a common factor.
    charges : {"all", "common"}
        The charges of an element to choose from, as pymatgen lists them.

    Returns
    -------
    dict of str to int, or None
        Element → charge, one solution of perhaps many; None if there is none.
    """
    amounts = _whole_amounts(composition)
    scale = {name: electronegativity(name) for name in amounts}
    known = {name: x for name, x in scale.items() if x is not None}
    if len(known) < len(amounts):
        return None
    # the rule leaves one way to part cations from anions for each cut between two electronegativities
    for cut in sorted(set(known.values()))[1:]:
        reached: dict[int, dict[str, int]] = {0: {}}
        for name, amount in amounts.items():
            allowed = [charge for charge in known_charges(name, charges) if (charge > 0) == (known[name] < cut)]
            reached = {
                total + amount * charge: {**chosen, name: charge}
                for total, chosen in reached.items()
                for charge in allowed
            }
        if 0 in reached:
            return reached[0]
    return None


def known_charges(symbol: str, charges: Charges = "all") -> tuple[int, ...]:
    """Charges of an element, zero left out."""
    element = Element(symbol)
    listed = element.oxidation_states if charges == "all" else element.common_oxidation_states
    return tuple(int(charge) for charge in listed if charge)


@cache
def electronegativity(symbol: str) -> float | None:
    """Pauling's electronegativity; None where there is none (asking pymatgen for it would warn)."""
    value = Element(symbol).data.get("X")
    return None if value is None else float(value)


def _whole_amounts(composition: Composition) -> dict[str, int]:
    """Amounts of the elements in the smallest whole numbers, occupancies to a thousandth."""
    shares = {
        name: Fraction(amount).limit_denominator(1000)
        for name, amount in composition.element_composition.get_el_amt_dict().items()
    }
    units = lcm(*(share.denominator for share in shares.values()))
    whole = {name: int(share * units) for name, share in shares.items()}
    common = gcd(*whole.values()) or 1
    return {name: amount // common for name, amount in whole.items()}
