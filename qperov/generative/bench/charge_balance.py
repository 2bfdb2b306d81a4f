"""Whether charges of its elements can balance in a crystal, by SMACT.

Every element takes one charge; the charges add up to zero; every cation is less electronegative (Pauling) than every
anion. Elements and alloys, all metals, pass. The charges an element may take are one of two sets of SMACT's: its list
of 2014, or pymatgen's short list for structure prediction.

References
----------
D. W. Davies et al., J. Open Source Softw. 4, 1361 (2019), doi:10.21105/joss.01361: SMACT.

T. Xie et al., ICLR (2022), arXiv:2110.06197: alloys pass.
"""

from __future__ import annotations

import warnings
from fractions import Fraction
from functools import cache
from math import gcd, lcm, prod
from typing import Any, Literal

from pymatgen.core import Composition, Element

from qperov.errors import MissingDependencyError
from qperov.generative.bench.verdict import Verdict

#: Which charges of an element count.
Charges = Literal["all", "common"]
#: SMACT's names of the sets.
OXIDATION_STATES = {"all": "smact14", "common": "pymatgen_sp"}
#: SMACT tries one combination of charges after the other: more than so many would take minutes.
MOST_COMBINATIONS = 1_000_000


def charge_verdict(composition: Composition, charges: Charges = "all") -> Verdict:
    """Whether charges can balance; an element or an alloy needs none.

    Charges that sites already carry are not looked at; amounts that are not whole are made so by a common factor.

    Parameters
    ----------
    composition : Composition
    charges : {"all", "common"}
        SMACT's set ``smact14``, or ``pymatgen_sp``.

    Raises
    ------
    MissingDependencyError
        If SMACT is not installed.
    """
    if charges not in ("all", "common"):
        raise ValueError(f"charges must be 'all' or 'common', not {charges!r}")
    smact, screening = _smact()
    amounts = _whole_amounts(composition)
    states = [smact.Element(name).oxidation_states_smact14 or () for name in amounts]
    if not set(amounts) <= set(smact.metals) and prod(map(len, states)) > MOST_COMBINATIONS:
        return Verdict(False, f"{len(amounts)} elements have more than {MOST_COMBINATIONS} combinations of charges")
    if screening.smact_validity(Composition(amounts), oxidation_states_set=OXIDATION_STATES[charges]):
        return Verdict(True)
    with warnings.catch_warnings():
        # pymatgen sorts elements by electronegativity, and warns of those that have none
        warnings.simplefilter("ignore", UserWarning)
        formula = composition.element_composition.reduced_formula
    return Verdict(False, f"no {'common ' if charges == 'common' else ''}charges balance in {formula}")


@cache
def electronegativity(symbol: str) -> float | None:
    """Pauling's electronegativity; None where there is none (asking pymatgen for it would warn)."""
    value = Element(symbol).data.get("X")
    return None if value is None else float(value)


def _smact() -> tuple[Any, Any]:
    try:
        import smact
        from smact import screening
    except ImportError as error:
        raise MissingDependencyError(
            f"whether charges balance is judged by SMACT: pip install 'qperov[generate]' ({error})"
        ) from error
    return smact, screening


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
