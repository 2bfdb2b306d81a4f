from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition, Element

from qperov.crystals.perovskites.cells import perovskite_compositions
from qperov.generative.bench.charge_balance import (
    Charges,
    balanced_charges,
    charge_verdict,
    electronegativity,
    is_alloy,
    known_charges,
)

FEW = st.dictionaries(
    st.sampled_from(["H", "O", "F", "S", "Cl", "Na", "Ca", "Ti", "Fe", "Cu", "Pt", "P", "Si"]),
    st.integers(1, 4),
    min_size=1,
    max_size=4,
)


def balances_by_trial(amounts: dict[str, int], charges: Charges) -> bool:
    """Every combination of charges, one after the other."""
    names = list(amounts)
    for chosen in product(*(known_charges(name, charges) for name in names)):
        cations = [electronegativity(name) for name, charge in zip(names, chosen, strict=True) if charge > 0]
        anions = [electronegativity(name) for name, charge in zip(names, chosen, strict=True) if charge < 0]
        neutral = sum(charge * amounts[name] for name, charge in zip(names, chosen, strict=True)) == 0
        if neutral and max(cations) < min(anions):
            return True
    return False


@pytest.mark.parametrize("formula", ["NaCl", "CaTiO3", "Fe2O3", "CsPbBr3", "Cs2AgBiBr6", "SiO2", "NaCl" * 3])
@pytest.mark.parametrize("charges", ["all", "common"])
def test_salts_balance(formula: str, charges: Charges) -> None:
    composition = Composition(formula)
    found = balanced_charges(composition, charges)
    assert found is not None
    assert sum(found[name] * amount for name, amount in composition.get_el_amt_dict().items()) == 0
    assert charge_verdict(composition, charges).passed


@pytest.mark.parametrize("formula", ["NaCl2", "CaTiO8", "NaO3", "Al2O5"])
def test_charged_cells_do_not(formula: str) -> None:
    verdict = charge_verdict(Composition(formula))
    assert not verdict.passed
    assert formula in verdict.reason


def test_uncommon_charges_count_where_all_do() -> None:
    # Ag in its common charge is +1; AgO₂ needs +4, AgO +2
    assert charge_verdict(Composition("AgO")).passed
    verdict = charge_verdict(Composition("AgO"), "common")
    assert (verdict.passed, verdict.reason) == (False, "no common charges balance in AgO")


def test_cations_are_less_electronegative() -> None:
    found = balanced_charges(Composition("OF2"))
    assert found == {"O": 2, "F": -1}
    # F as a cation beside O is what the ordering forbids; no other charges would balance
    assert balanced_charges(Composition("OF4")) is None


def test_one_charge_an_element() -> None:
    # Fe²⁺Fe³⁺₂O₄ has two charges of iron, which SMACT's rule does not know
    assert not charge_verdict(Composition("Fe3O4")).passed


@pytest.mark.parametrize("formula", ["AuCu3", "Ni3Al", "Fe", "Si", "O2", "CsPb"])
def test_elements_and_alloys_need_no_charges(formula: str) -> None:
    assert is_alloy(Composition(formula).get_el_amt_dict())
    assert charge_verdict(Composition(formula)).passed


def test_no_electronegativity() -> None:
    assert balanced_charges(Composition("NeO")) is None
    assert charge_verdict(Composition("NeO")).reason == "no electronegativity of Ne"


def test_charges_on_sites_do_not_count() -> None:
    assert not charge_verdict(Composition({"Na+": 1, "Cl2-": 2})).passed
    assert charge_verdict(Composition({"Na3+": 1, "Cl-": 1})).passed


@settings(max_examples=60, deadline=None)
@given(FEW, st.sampled_from(["all", "common"]))
def test_as_trying_every_combination(amounts: dict[str, int], charges: Charges) -> None:
    composition = Composition(amounts)
    whole = {name: int(amount) for name, amount in composition.get_el_amt_dict().items()}
    assert (balanced_charges(composition, charges) is not None) == balances_by_trial(whole, charges)


def test_more_combinations_than_could_be_tried() -> None:
    metals = [kind for kind in Element if kind.is_metal and kind.Z <= 83 and len(known_charges(kind.symbol)) > 1]
    composition = Composition({**{kind.symbol: 1 + kind.Z % 3 for kind in metals}, "O": 100})
    assert len(metals) > 30
    found = balanced_charges(composition)
    assert found is not None
    assert sum(found[name] * amount for name, amount in composition.get_el_amt_dict().items()) == 0


def test_partial_occupancies() -> None:
    assert charge_verdict(Composition({"Ca": 0.5, "Sr": 0.5, "Ti": 1, "O": 3}), "common").passed
    assert balanced_charges(Composition({"La": 2 / 3, "Ti": 1, "O": 3}), "common") == {"La": 3, "Ti": 4, "O": -2}


def test_every_generated_perovskite_balances() -> None:
    assert all(charge_verdict(Composition(sites.formula), "common").passed for sites in perovskite_compositions()[::20])


def test_unknown_kind_of_charges() -> None:
    with pytest.raises(ValueError, match="'all' or 'common'"):
        charge_verdict(Composition("NaCl"), "some")  # type: ignore[arg-type]
