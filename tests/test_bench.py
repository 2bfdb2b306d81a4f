from __future__ import annotations

import pytest
from crystal_prototypes import cubic_perovskite
from pymatgen.core import Structure

from qperov.crystals.perovskites.cells import perovskite_cell, perovskite_compositions
from qperov.errors import EmptyDatasetError
from qperov.generative.bench.comparison import PERTURBATION, SUBSTITUTION, BenchReport, compare_samples, newcombe

CELLS = [perovskite_cell(sites) for sites in perovskite_compositions()[::25]]


@pytest.fixture(scope="module")
def report() -> BenchReport:
    samples: dict[str, list[Structure | None]] = {"held out": [*CELLS[::2]], "blank": [None] * 30}
    return compare_samples(samples, CELLS[1::2], dissimilarity=False)


def test_every_sample_beside_the_baselines(report: BenchReport) -> None:
    assert list(report.reports) == ["held out", "blank", PERTURBATION, SUBSTITUTION]
    assert report.shares().columns.tolist() == list(report.reports)
    assert report.shares().loc["valid", "held out"] == 1
    assert report.shares().loc["decodable", "blank"] == 0
    kinds = dict(zip(report.table["sample"], report.table["kind"], strict=True))
    assert kinds == {"held out": "model", "blank": "model", PERTURBATION: "baseline", SUBSTITUTION: "baseline"}


def test_differences_from_the_perturbation_baseline(report: BenchReport) -> None:
    table = report.table.set_index(["sample", "criterion"])
    own, baseline = table.loc[("held out", "valid")], table.loc[(PERTURBATION, "valid")]
    expected = newcombe(own["count"], own["out_of"], baseline["count"], baseline["out_of"])
    assert (own["difference"], own["difference_low"], own["difference_high"]) == expected
    assert (baseline["difference"], baseline["verdict"]) == (0, "not distinguishable")
    assert own["verdict"] == "above"
    assert table.loc[("blank", "valid"), "verdict"] == "below"


def test_plain_statements(report: BenchReport) -> None:
    assert report.statement("held out").startswith("held out: 100.0 % valid, above random perturbation")
    assert "below random perturbation" in report.statement("blank", "valid_unique_novel")
    assert "not distinguishable from random perturbation" in report.statement("held out", "volume")
    assert report.statement("blank") in str(report)
    with pytest.raises(ValueError, match="no sample"):
        report.statement("nobody")


def test_baselines_are_as_large_as_the_largest_sample(report: BenchReport) -> None:
    largest = len(CELLS[::2])
    assert {name: len(own.per_structure) for name, own in report.reports.items()} == {
        "held out": largest, "blank": 30, PERTURBATION: largest, SUBSTITUTION: largest,
    }  # fmt: skip


def test_own_baselines_and_repetition() -> None:
    samples = {"mine": [cubic_perovskite()], PERTURBATION: [None, cubic_perovskite()]}
    report = compare_samples(samples, CELLS, n_baseline=3, dissimilarity=False, perovskite=False)
    assert report.table.set_index(["sample", "criterion"]).loc[(PERTURBATION, "decodable"), "count"] == 1
    assert len(report.reports[SUBSTITUTION].per_structure) == 3
    again = compare_samples(samples, CELLS, n_baseline=3, dissimilarity=False, perovskite=False)
    assert again.table.equals(report.table)
    other = compare_samples(samples, CELLS, n_baseline=3, dissimilarity=False, perovskite=False, random_state=1)
    formulas = [own.reports[SUBSTITUTION].per_structure["formula"].tolist() for own in (report, other)]
    assert formulas[0] != formulas[1]


def test_reference_is_prepared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    sample = [cubic_perovskite()]
    compare_samples(
        {"a": sample, PERTURBATION: sample, SUBSTITUTION: sample},
        CELLS[:3],
        progress=lambda *step: seen.append(step[2]),
    )
    assert seen.count("fingerprints of the reference") == 1
    assert seen.count("fingerprints") == 3


@pytest.mark.parametrize("samples", [{}, {"none": []}, {"some": [None], "none": []}])
def test_nothing_generated(samples: dict) -> None:
    with pytest.raises(EmptyDatasetError, match="nothing was generated"):
        compare_samples(samples, CELLS)
