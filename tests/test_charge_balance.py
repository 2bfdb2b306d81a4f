"""Charge balance by SMACT: salts pass, charged cells do not, and what SMACT itself would trip over."""

from __future__ import annotations

import sys

import pytest
from perovskites import perovskite
from pymatgen.core import Composition, Element

from qperov.crystals.perovskites.cells import perovskite_compositions
from qperov.errors import MissingDependencyError
from qperov.generative.bench.charge_balance import Charges, charge_verdict
from qperov.generative.bench.validation import validate


@pytest.mark.parametrize("formula", ["NaCl", "CaTiO3", "Fe2O3", "CsPbBr3", "Cs2AgBiBr6", "SiO2", "NaCl" * 3])
@pytest.mark.parametrize("charges", ["all", "common"])
def test_salts_balance(formula: str, charges: Charges) -> None:
    assert charge_verdict(Composition(formula), charges).passed


@pytest.mark.parametrize("formula", ["NaCl2", "CaTiO8", "NaO3", "Al2O5"])
def test_charged_cells_do_not(formula: str) -> None:
    verdict = charge_verdict(Composition(formula))
    assert not verdict.passed
    assert formula in verdict.reason


def test_uncommon_charges_count_where_all_do() -> None:
    # oxygen in its common charge is −2; OF₂ needs +2
    assert charge_verdict(Composition("OF2")).passed
    verdict = charge_verdict(Composition("OF2"), "common")
    assert (verdict.passed, verdict.reason) == (False, "no common charges balance in OF2")


def test_cations_are_less_electronegative() -> None:
    # F as a cation beside O is what the ordering forbids; no other charges would balance
    assert not charge_verdict(Composition("OF4")).passed


def test_one_charge_an_element() -> None:
    # Fe²⁺Fe³⁺₂O₄ has two charges of iron, which SMACT's rule does not know
    assert not charge_verdict(Composition("Fe3O4")).passed


@pytest.mark.parametrize("formula", ["AuCu3", "Ni3Al", "Fe", "Si", "O2", "CsPb"])
def test_elements_and_alloys_need_no_charges(formula: str) -> None:
    assert charge_verdict(Composition(formula)).passed


def test_no_charges_are_known() -> None:
    assert charge_verdict(Composition("NeO")).reason == "no charges balance in ONe"


def test_charges_on_sites_do_not_count() -> None:
    assert not charge_verdict(Composition({"Na+": 1, "Cl2-": 2})).passed
    assert charge_verdict(Composition({"Na3+": 1, "Cl-": 1})).passed


def test_more_combinations_than_could_be_tried() -> None:
    metals = [kind.symbol for kind in Element if kind.is_metal and kind.Z <= 83 and kind.symbol != "Pm"]
    assert charge_verdict(Composition(dict.fromkeys(metals, 1))).passed, "an alloy"
    verdict = charge_verdict(Composition(dict.fromkeys([*metals, "O"], 1)))
    assert not verdict.passed
    assert verdict.reason.endswith("elements have more than 1000000 combinations of charges")


def test_partial_occupancies() -> None:
    # SMACT cuts amounts to whole numbers
    assert charge_verdict(Composition({"Ca": 0.5, "Sr": 0.5, "Ti": 1, "O": 3}), "common").passed
    assert charge_verdict(Composition({"La": 2 / 3, "Ti": 1, "O": 3}), "common").passed
    assert not charge_verdict(Composition({"La": 1 / 2, "Ti": 1, "O": 3}), "common").passed


def test_every_generated_perovskite_balances() -> None:
    assert all(charge_verdict(Composition(sites.formula), "common").passed for sites in perovskite_compositions()[::20])


def test_unknown_kind_of_charges() -> None:
    with pytest.raises(ValueError, match="'all' or 'common'"):
        charge_verdict(Composition("NaCl"), "some")  # type: ignore[arg-type]


def test_without_smact_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "smact", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'qperov\[generate\]'"):
        validate([perovskite()], [perovskite()])
