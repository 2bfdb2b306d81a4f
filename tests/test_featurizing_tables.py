from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from perovskites import perovskite, random_decoration
from pymatgen.core import Lattice, Structure
from sklearn.exceptions import NotFittedError

from qperov import PXRDFeaturizer
from qperov.descriptors import matminer as featurizing_tables
from qperov.descriptors.featurizer import KINDS
from qperov.errors import DescriptorError, SymmetryError

RNG = np.random.default_rng(0)
CRYSTALS = [random_decoration(perovskite((2, 1, 1)), 3, RNG) for _ in range(7)]
EMPTY = Structure(Lattice.cubic(5), [], [])
#: Three sound crystals with one that has no atoms and something that is no crystal between them.
MIXED = [CRYSTALS[0], EMPTY, CRYSTALS[1], None, CRYSTALS[2]]
FEATURIZER = PXRDFeaturizer("profile", two_theta_range=(10, 60), step=0.5).fit(CRYSTALS)


def test_one_crystal_gives_a_list_of_its_features():
    row = FEATURIZER.featurize(CRYSTALS[0])
    assert isinstance(row, list)
    assert row == FEATURIZER.transform(CRYSTALS[:1])[0].tolist()
    assert len(row) == len(FEATURIZER.feature_labels())


@pytest.mark.parametrize("chunk", [1, 3, 256])
def test_many_crystals_give_rows_of_transform_whatever_chunk(chunk, monkeypatch):
    monkeypatch.setattr(featurizing_tables, "CHUNK", chunk)
    assert FEATURIZER.featurize_many(CRYSTALS, pbar=False) == FEATURIZER.transform(CRYSTALS).tolist()
    assert FEATURIZER.featurize_many([], pbar=False) == []


def test_the_progress_bar_leaves_standard_output_alone(capsys):
    FEATURIZER.featurize_many(CRYSTALS)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("chunk", [2, 256])
def test_bad_crystals_do_not_stop_the_others(chunk, monkeypatch):
    monkeypatch.setattr(featurizing_tables, "CHUNK", chunk)
    rows = FEATURIZER.featurize_many(MIXED, ignore_errors=True, return_errors=True, pbar=False)
    good = FEATURIZER.transform(CRYSTALS[:3])
    assert [row[-1] is None for row in rows] == [True, False, True, False, True]
    assert "Error: it has no sites" in rows[1][-1]
    np.testing.assert_array_equal([row[:-1] for row in rows[::2]], good)
    assert np.isnan([row[:-1] for row in rows[1::2]]).all()
    assert {len(row) for row in rows} == {len(FEATURIZER.feature_labels()) + 1}


def test_a_wrong_setting_is_no_error_to_ignore():
    with pytest.raises(ValueError, match="unknown radiation"):
        PXRDFeaturizer("profile", wavelength="Xx").featurize_many(CRYSTALS, ignore_errors=True, pbar=False)
    with pytest.raises(TypeError, match="no list of crystals"):
        FEATURIZER.featurize_many(CRYSTALS[0], ignore_errors=True, pbar=False)


def test_what_is_no_crystal_is_named_by_its_place():
    for kind in KINDS:
        with pytest.raises(DescriptorError, match=r"^entry 1: a str is no crystal structure"):
            PXRDFeaturizer(kind).fit(CRYSTALS).featurize_many([CRYSTALS[0], "POSCAR"], pbar=False)


def test_the_first_bad_crystal_is_named_by_its_place():
    with pytest.raises(DescriptorError, match=r"^entry 1: .*no sites"):
        FEATURIZER.featurize_many(MIXED, pbar=False)
    correlations = PXRDFeaturizer("correlations").fit(CRYSTALS)
    with pytest.raises(SymmetryError, match=r"^entry 5: .*does not lie on the parent lattice"):
        correlations.featurize_many([*CRYSTALS[:5], perovskite((2, 1, 1), edge=6.5)], pbar=False)
    with pytest.raises(ValueError, match="return_errors needs ignore_errors"):
        FEATURIZER.featurize_many(CRYSTALS, return_errors=True)


def test_a_table_gains_one_column_a_feature_and_keeps_its_index():
    table = pd.DataFrame({"structure": CRYSTALS[:3], "energy": [1.0, 2.0, 3.0]}, index=["a", "b", "a"])
    wide = FEATURIZER.featurize_dataframe(table, "structure", pbar=False)
    assert list(wide.columns) == ["structure", "energy", *FEATURIZER.feature_labels()]
    assert list(wide.index) == ["a", "b", "a"]
    np.testing.assert_array_equal(wide[FEATURIZER.feature_labels()], FEATURIZER.transform(CRYSTALS[:3]))
    assert list(table.columns) == ["structure", "energy"]


def test_a_table_is_changed_in_place_when_asked():
    table = pd.DataFrame({"structure": CRYSTALS[:2]})
    featurizer = PXRDFeaturizer("autoencoder")
    assert featurizer.featurize_dataframe(table, "structure", inplace=True, pbar=False) is table
    np.testing.assert_array_equal(table[featurizer.feature_labels()], featurizer.transform(CRYSTALS[:2]))
    with pytest.raises(ValueError, match="already has 32 of these columns"):
        featurizer.featurize_dataframe(table, "structure", pbar=False)


def test_errors_stand_in_a_column_of_their_own():
    table = pd.DataFrame({"structure": MIXED})
    wide = FEATURIZER.featurize_dataframe(table, "structure", ignore_errors=True, return_errors=True, pbar=False)
    errors = wide["PXRDFeaturizer Exceptions"]
    assert errors.notna().tolist() == [False, True, False, True, False]
    assert wide[FEATURIZER.feature_labels()].isna().all(axis=1).tolist() == [False, True, False, True, False]


@pytest.mark.parametrize("method", ["featurize_dataframe", "fit_featurize_dataframe"])
def test_a_missing_column_is_named(method):
    with pytest.raises(ValueError, match="no column 'crystal'; it has structure"):
        getattr(FEATURIZER, method)(pd.DataFrame({"structure": CRYSTALS}), "crystal")


def test_kinds_that_learn_are_fitted_on_the_column():
    table = pd.DataFrame({"structure": CRYSTALS})
    wide = PXRDFeaturizer("pattern").fit_featurize_dataframe(table, "structure", pbar=False)
    expected = PXRDFeaturizer("pattern").fit_transform(CRYSTALS)
    np.testing.assert_array_equal(wide.drop(columns="structure"), expected)
    with pytest.raises(NotFittedError):
        PXRDFeaturizer("pattern").featurize_dataframe(table, "structure", pbar=False)


def test_pandas_output_does_not_change_what_these_methods_give():
    featurizer = PXRDFeaturizer("autoencoder").set_output(transform="pandas").fit(CRYSTALS)
    assert isinstance(featurizer.featurize(CRYSTALS[0]), list)
    assert featurizer.featurize_many(CRYSTALS[:2], pbar=False) == featurizer.transform(CRYSTALS[:2]).values.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_tells_its_sources(kind):
    citations = PXRDFeaturizer(kind).citations()
    assert citations
    for entry in citations:
        assert entry.startswith("@")
        assert entry.count("{") == entry.count("}")
        assert "author = {" in entry
        assert "title = {" in entry
    assert PXRDFeaturizer(kind).implementors() == ["The qperov developers"]
