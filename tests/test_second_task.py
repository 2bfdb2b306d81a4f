"""The second task: the composition's own prediction, and words that follow from the numbers."""

from __future__ import annotations

import numpy as np
import pytest

import qperov
from qperov.records.study import Study
from qperov.studies.mixing_energies import COMPOSITION, QUICK_MODELS, composition_predictions, second_task


@pytest.fixture(scope="module")
def dataset() -> qperov.datasets.CrystalDataset:
    return qperov.load_dataset("cpx222").take(range(0, 441, 5))


@pytest.fixture(scope="module")
def study(dataset: qperov.datasets.CrystalDataset) -> Study:
    return second_task(dataset, "I", quick=True, seed=0)


def test_composition_predicts_training_means() -> None:
    y = np.array([1.0, 3.0, 10.0, 7.0, 100.0])
    share = np.array([0.2, 0.2, 0.4, 0.3, 0.2])
    folds = np.array([0, 0, 0, 1, 1])
    predicted = composition_predictions(y, share, folds)
    # tested in fold 1: the mean at 0.2 is 2; 0.3 lies half-way between 2 and 10
    np.testing.assert_allclose(predicted[3:], [6.0, 2.0])
    # tested in fold 0: training crystals at 0.2 (100) and 0.3 (7); beyond the last share its mean stays
    np.testing.assert_allclose(predicted[:3], [100.0, 100.0, 7.0])


def test_composition_is_all_where_the_label_follows_it(dataset: qperov.datasets.CrystalDataset) -> None:
    share = np.array([structure.composition.get_atomic_fraction("I") for structure in dataset.structures])
    folds = np.arange(len(share)) % 4
    predicted = composition_predictions(3 * share, share, folds)
    inner = (share > share.min()) & (share < share.max())
    np.testing.assert_allclose(predicted[inner], 3 * share[inner], atol=1e-12)


def test_every_score_stands_beside_baselines_and_intervals(study: Study) -> None:
    table = study.tables["Scores"].set_index("model")
    assert list(table.index[:3]) == [COMPOSITION, "mean of the training labels", "median of the training labels"]
    assert set(QUICK_MODELS) == set(table.index[3:])
    mae = next(name for name in table if name.startswith("MAE"))
    assert mae == "MAE, meV/f.u."
    assert (table["from"] <= table[mae]).all()
    assert (table[mae] <= table["to"]).all()
    assert (table["R² from"] <= table["R²"]).all()
    assert (table["R²"] <= table["R² to"]).all()


def test_it_says_whose_labels_they_are(study: Study) -> None:
    text = " ".join(study.paragraphs)
    assert "CHGNet" in text
    assert "not DFT" in text
    assert "composition" in text


def test_sentences_follow_the_numbers(study: Study) -> None:
    table = study.tables["Scores"].set_index("model")
    (sentence,) = [text for text in study.paragraphs if text.startswith("The mean label of the training crystals")]
    best = [name for name in QUICK_MODELS if f"{name} {table.loc[name, 'MAE, meV/f.u.']:.2f}" in sentence]
    below = [name for name in best if table.loc[name, "to"] < table.loc[COMPOSITION, "from"]]
    assert len(best) == 2
    assert ("do not overlap" in sentence) == (len(below) == 2)
    assert "QSVR" in study.paragraphs[-1]
    assert "ΔMAE" in study.paragraphs[-1]


def test_charts_draw_all_crystals(study: Study, dataset: qperov.datasets.CrystalDataset) -> None:
    assert len(study.data["labels"]) == len(dataset)
    assert len(study.data["predictions"]) == 2 * len(dataset)
