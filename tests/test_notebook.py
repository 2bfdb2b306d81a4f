"""What a prompt and a notebook show: one line, a small table, a drawing; names from files do no harm in HTML."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from perovskites import perovskite
from pymatgen.core import Lattice, Structure

import qperov
from qperov.datasets.dataset import CrystalDataset
from qperov.generative.bench.validation import ValidationReport
from qperov.quantum.diagnosis.diagnostics import diagnose
from qperov.quantum.kernels.fidelity import FidelityKernel
from qperov.serving.inputs import Failure
from qperov.serving.predictor import Predictions

[PATTERN] = qperov.powder_patterns([perovskite()])
X = np.random.default_rng(0).normal(size=(8, 2))


def test_pattern_tells_its_peaks_and_hkl() -> None:
    assert repr(PATTERN) == (
        f"<Pattern of {len(PATTERN)} peaks from {PATTERN.two_theta[0]:.2f}° to {PATTERN.two_theta[-1]:.2f}°>"
    )
    html = PATTERN._repr_html_()
    strongest = int(np.argmax(PATTERN.intensity))
    h, k, ell = PATTERN.hkl[strongest][0]["hkl"]
    assert f"{PATTERN.two_theta[strongest]:.2f}" in html
    assert f"<td>{h}{k}{ell}</td>" in html
    assert html.count("<tr") == 11


def test_pattern_is_drawn_with_the_hkl_that_have_room() -> None:
    axes = PATTERN.plot(Figure().subplots())
    heights = [segment[1, 1] for segment in axes.collections[0].get_segments()]
    np.testing.assert_allclose(heights, PATTERN.intensity)
    places = np.sort([text.xy[0] for text in axes.texts])
    assert 3 < len(places) < len(PATTERN)
    assert np.diff(places).min() >= 0.03 * np.ptp(PATTERN.two_theta)
    assert PATTERN.two_theta[np.argmax(PATTERN.intensity)] in places


def test_hexagonal_indices_stand_apart() -> None:
    zinc = Structure(Lattice.hexagonal(2.66, 4.95), ["Zn", "Zn"], [(1 / 3, 2 / 3, 0.25), (2 / 3, 1 / 3, 0.75)])
    html = qperov.powder_patterns([zinc])[0]._repr_html_()
    assert "<td>0002</td>" in html
    assert "<td>1 0 −1 1</td>" in html


def test_dataset_lists_its_first_crystals_and_cautions() -> None:
    crystals = CrystalDataset(
        "films", (perovskite(),) * 7, tuple(f"<b>{i}" for i in range(7)), np.arange(7.0), "gap", "eV",
        cautions=("labels < 0 were dropped",),
    )  # fmt: skip
    html = crystals._repr_html_()
    assert "7 structures" in html
    assert "mean 3, standard deviation 2" in html
    assert html.count("<tr>") == 5
    assert "and 2 more" in html
    assert "labels &lt; 0" in html
    assert "<b>" not in html
    assert "<td" not in CrystalDataset("none", (), ())._repr_html_()


def test_diagnosis_is_one_line_and_a_table() -> None:
    found = diagnose(FidelityKernel(bandwidth=0.3), X, X[:, 0])
    assert repr(found) == "<KernelDiagnosis of FidelityKernel(feature_map='zz', bandwidth=0.3) on 8 samples>"
    html = found._repr_html_()
    assert found.verdict in html
    assert all(name in html for name in found.table["quantity"])


def test_results_are_one_line_and_a_table() -> None:
    table = pd.DataFrame({"id": ["<i>"], "prediction": [1.0], "low": [0.5], "high": [1.5]})
    predictions = Predictions(table, [Failure("bad.cif", "no <atoms>", "ReadingError")], 0.9, 0.5)
    assert repr(predictions) == "<Predictions: 1, each ± 0.5 at 90%, 1 failed>"
    assert "bad.cif: no &lt;atoms&gt;" in predictions._repr_html_()
    assert "<i>" not in predictions._repr_html_()
    report = ValidationReport(
        pd.DataFrame({"criterion": ["valid"], "share": [0.25]}), pd.DataFrame(index=range(4)), ("n",)
    )
    assert repr(report) == "<ValidationReport of 4 generated crystals>"
    assert "0.25" in report._repr_html_()


@pytest.mark.parametrize("shown", [PATTERN, qperov.load_dataset("cpx321").take(range(9))])
def test_a_prompt_shows_one_short_line(shown: object) -> None:
    assert len(repr(shown)) < 100
