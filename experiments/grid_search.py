"""Quantum kernels in a scikit-learn pipeline, from crystals to a tuned and explained model, step by step.

    python experiments/grid_search.py

Each ``# %%`` opens a cell in editors that know them. The search runs in two processes; what it chooses is then scored
once on crystals that it has not seen, beside a constant.
"""

# %% Crystals: 300 orderings of Br and I, split so that no symmetry class and no twin of the descriptor is on both sides
from __future__ import annotations

import argparse

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import GridSearchCV, GroupKFold, GroupShuffleSplit
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import qperov


def main(count: int) -> None:
    """Search, score and explain, on so many crystals."""
    dataset = qperov.load_dataset("cpx321").take(np.random.default_rng(0).choice(986, count, replace=False))
    y, groups = dataset.y, dataset.groups
    train, test = next(GroupShuffleSplit(1, test_size=0.25, random_state=0).split(y, groups=groups))
    structures = np.empty(len(dataset), dtype=object)  # GridSearchCV takes rows by index
    structures[:] = dataset.structures

    # %% A pipeline from crystals to energies; every step can be searched over
    pipeline = Pipeline(
        [
            ("pxrd", qperov.PXRDFeaturizer("structure_factors")),
            ("scale", StandardScaler()),
            ("pca", qperov.descriptors.RankPCA(8)),
            ("qsvr", qperov.QuantumSVR(qperov.FidelityKernel("zz"), epsilon=0.05)),
        ]
    )
    model = TransformedTargetRegressor(pipeline, transformer=StandardScaler())

    # %% The search: feature maps and bandwidths of a quantum kernel, and a classical kernel in the same place
    prefix = "regressor__qsvr__"
    grid = [
        {
            f"{prefix}kernel__feature_map": ["zz", "angle_yz_cx"],
            f"{prefix}kernel__bandwidth": ["median", 0.02, 0.05],
            f"{prefix}C": [1.0, 10.0],
        },
        {f"{prefix}kernel": [ConstantKernel() * RBF(length) for length in (3.0, 6.0)], f"{prefix}C": [1.0, 10.0]},
    ]
    search = GridSearchCV(model, grid, cv=GroupKFold(3), n_jobs=2, scoring="neg_mean_absolute_error")
    print(f"searching on {len(train)} crystals, {search.n_jobs} processes …", flush=True)
    search.fit(structures[train], y[train], groups=groups[train])
    print(f"chosen among {len(search.cv_results_['params'])}: {search.best_params_}")

    # %% One look at the crystals that were kept away
    baseline = DummyRegressor(strategy="median").fit(structures[train], y[train])
    for name, fitted in {"chosen": search, "constant (median)": baseline}.items():
        predicted = fitted.predict(structures[test])
        error, r2 = mean_absolute_error(y[test], predicted), r2_score(y[test], predicted)
        print(f"{name:18} MAE {error:.3f} {dataset.unit}, R² {r2:.2f}")
    print(f"{'spread of labels':18} {y[test].std():.3f} {dataset.unit}; labels: {dataset.provenance[0]}")

    # %% Why: what the chosen kernel sees
    steps = search.best_estimator_.regressor_
    features = steps[:-1].transform(structures[train])
    kernel = steps[-1].kernel_
    if isinstance(kernel, qperov.FidelityKernel):
        print(qperov.diagnose(kernel, features, y[train]))
    else:
        print(f"{kernel} is classical and computed exactly: concentration and shots are no concern of it")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="80 crystals instead of 300")
    main(80 if parser.parse_args().quick else 300)
