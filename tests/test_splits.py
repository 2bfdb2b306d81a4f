"""Groups and folds: what cannot be told apart stays on one side, and a split that ignores this is seen to leak."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qperov.evaluation.splits import IDENTITY_TOLERANCE, honest_groups, identical_rows, make_folds, merge_groups


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two numberings put the same rows together."""
    return bool(np.array_equal(a[:, None] == a, b[:, None] == b))


def union_find(n: int, pairs: list[tuple[int, int]]) -> np.ndarray:
    """Brute force: merge until nothing changes."""
    label = np.arange(n)
    changed = True
    while changed:
        changed = False
        for i, j in pairs:
            if label[i] != label[j]:
                label[i] = label[j] = min(label[i], label[j])
                changed = True
    return label


def pairs_within(features: np.ndarray, tolerance: float) -> list[tuple[int, int]]:
    step = tolerance * np.abs(features).max()
    near = (np.abs(features[:, None] - features) <= step).all(axis=2)
    return [(int(i), int(j)) for i, j in np.argwhere(near)]


# --- identical rows -----------------------------------------------------------------------------


@given(
    features=hnp.arrays(
        float, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=st.integers(-3, 3).map(float)
    ),
    noise=hnp.arrays(float, (12, 4), elements=st.floats(-1e-13, 1e-13)),
    offset=st.sampled_from([0.0, 0.25, 0.5, 0.75]),
)
def test_identical_rows_equal_brute_force_under_noise(features: np.ndarray, noise: np.ndarray, offset: float) -> None:
    """Also where values lie on the edges of any grid made of the tolerance: offsets are quarters of its step."""
    n, d = features.shape
    features = features + offset * 3 * IDENTITY_TOLERANCE
    found = identical_rows(features + noise[:n, :d] * np.abs(features).max())
    assert same_partition(found, union_find(n, pairs_within(features, IDENTITY_TOLERANCE)))


@given(st.lists(st.integers(0, 4000), min_size=2, max_size=30), st.integers(0, 2**32 - 1))
def test_twins_stay_together_wherever_the_edges_of_a_grid_are(positions: list[int], seed: int) -> None:
    """Many columns at quarter steps: some of them sit at the edges of every grid of that step at once."""
    step = IDENTITY_TOLERANCE
    row = np.array([1.0, *(step * (k / 4) for k in positions)])
    noise = np.random.default_rng(seed).uniform(-1e-13, 1e-13, size=(2, len(row)))
    noise[:, 0] = 0.0
    assert len(np.unique(identical_rows(row + noise))) == 1


def test_rows_that_differ_in_one_entry_are_distinct() -> None:
    features = np.ones((4, 5))
    features[1, 3] += 1e-5
    features[2, 3] -= 1e-5
    features[3, 3] += 1e-13
    assert same_partition(identical_rows(features), np.array([0, 1, 2, 0]))


@given(
    features=hnp.arrays(float, (9, 3), elements=st.integers(0, 2).map(float)),
    scale=st.floats(1e-6, 1e6),
    order=st.permutations(range(9)),
)
def test_identity_does_not_depend_on_unit_or_order(features: np.ndarray, scale: float, order: list[int]) -> None:
    assert same_partition(identical_rows(features * scale)[order], identical_rows(features[order]))


def test_constant_features_are_one_row() -> None:
    assert np.array_equal(identical_rows(np.zeros((3, 2))), [0, 0, 0])
    assert len(identical_rows(np.zeros((0, 2)))) == 0


# --- merging partitions -------------------------------------------------------------------------

partitions = st.integers(1, 15).flatmap(
    lambda n: st.lists(hnp.arrays(int, n, elements=st.integers(-3, n)), min_size=1, max_size=4)
)


@given(partitions)
def test_connected_equals_union_find(labels: list[np.ndarray]) -> None:
    n = len(labels[0])
    pairs = [(i, j) for label in labels for i in range(n) for j in range(n) if label[i] == label[j]]
    merged = merge_groups(*labels)
    assert same_partition(merged, union_find(n, pairs))
    assert set(merged) == set(range(len(set(merged)))), "numbered from 0"


def test_groups_join_through_symmetry_and_descriptor() -> None:
    """0 ~ 1 by symmetry, 1 ~ 2 by the first descriptor, 2 ~ 3 by the second; 4 and 5 stand alone."""
    symmetry = np.array([7, 7, 8, 9, 3, 4])
    first = np.array([[0.1], [0.2], [0.2 + 1e-13], [0.4], [0.5], [0.6]])
    second = np.array([[1.0], [2.0], [3.0], [3.0], [5.0], [6.0]])
    assert same_partition(honest_groups(symmetry, [first, second]), np.array([0, 0, 0, 0, 1, 2]))
    assert same_partition(honest_groups(symmetry, []), symmetry)


# --- folds --------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(
    groups=hnp.arrays(int, st.integers(8, 40), elements=st.integers(0, 25)).filter(lambda g: len(set(g)) >= 4),
    twins=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=4),
    folds=st.integers(2, 3),
    repeats=st.integers(1, 3),
    seed=st.integers(0, 2**31),
)
def test_folds_part_neither_symmetry_copies_nor_twins(
    groups: np.ndarray, twins: list[tuple[int, int]], folds: int, repeats: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(len(groups), 3))
    for i, j in twins:
        features[i] = features[j] + rng.uniform(-1e-13, 1e-13, size=3)
    merged = honest_groups(groups, [features])
    if len(set(merged)) < folds:
        return
    tested = np.zeros((repeats, len(groups)), dtype=int)
    for repeat, fold, train, test in make_folds(len(groups), merged, folds=folds, repeats=repeats, random_state=seed):
        assert 0 <= fold < folds
        assert not set(groups[train]) & set(groups[test])
        near = np.abs(features[train][:, None] - features[test]).max(axis=2)
        assert near.min() > 1e-9
        assert sorted([*train, *test]) == list(range(len(groups)))
        tested[repeat, test] += 1
    assert (tested == 1).all(), "every row is tested once a repeat"


def test_random_split_parts_copies() -> None:
    groups = np.repeat(np.arange(30), 4)
    dealt = make_folds(120, groups, folds=5, repeats=1, random_state=0, split="random")
    shares = [np.isin(groups[test], groups[train]).mean() for _, _, train, test in dealt]
    assert np.mean(shares) > 0.95


def folds_of(seed: int, repeats: int) -> list[tuple[int, ...]]:
    groups = np.arange(60) // 2
    return [tuple(test) for *_, test in make_folds(60, groups, folds=5, repeats=repeats, random_state=seed)]


def test_folds_repeat_by_seed_and_differ_between_seeds() -> None:
    assert folds_of(3, 4) == folds_of(3, 4)
    assert folds_of(3, 4)[:5] == folds_of(3, 1), "more repeats add folds and change none"
    assert len(set(folds_of(3, 4))) == 20
    assert not set(folds_of(0, 4)) & set(folds_of(1, 4)), "the next seed deals other folds in every repeat"


@pytest.mark.parametrize("split", ["grouped", "random"])
def test_fewer_groups_than_folds(split: str) -> None:
    groups = np.array([0, 0, 0, 1, 1, 1])
    with pytest.raises(ValueError, match=r"5 folds need at least 5 groups .* there are 2"):
        list(make_folds(6, groups, folds=5, repeats=1, random_state=0, split=split))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"folds": 1}, "at least 2 folds, not 1"),
        ({"repeats": 0}, "at least once, not 0"),
        ({"split": "stratified"}, "not 'stratified'"),
    ],
)
def test_folds_that_cannot_be_dealt(wrong: dict[str, object], message: str) -> None:
    given_: dict[str, object] = {"folds": 2, "repeats": 1, "random_state": 0, "split": "grouped"} | wrong
    with pytest.raises(ValueError, match=message):
        list(make_folds(6, np.arange(6), **given_))
