"""The published QSVR and its reference pattern: what the repair of its features changes.

    python experiments/qsvr_reference.py

The authors subtract the pattern of their first crystal, peak by peak in the order of the lists; where two lists differ
in length their program stops. The repair subtracts the mean pattern at equal 2θ. On cpx321, by the same honest folds
for all: the published QSVR, and an RBF-SVR with scaled columns and tuned hyperparameters, on features of each kind. The
first crystal of the dataset is a constant that no label chose, so that it may stand in test folds too.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

import qperov
from qperov.commands import screen
from qperov.studies.models import published_qsvr

FEATURES = {
    "first crystal, by position (as published)": {"reference": "first", "alignment": "position"},
    "first crystal, at equal 2θ": {"reference": "first"},
    "mean pattern, at equal 2θ (repaired)": {},
}


def main(repeats: int, quick: bool) -> None:
    """Print both tables."""
    dataset = qperov.load_dataset("cpx321")
    if quick:
        dataset = dataset.take(range(100))
    grid = {"C": [0.01, 0.1, 1.0, 10.0], "gamma": [0.001, 0.003, 0.01, 0.03, 0.1]}
    rbf = GridSearchCV(SVR(epsilon=0.02), grid, scoring="neg_mean_absolute_error", cv=3)
    features = {name: qperov.PXRDFeaturizer("qsvr", **parameters) for name, parameters in FEATURES.items()}
    for title, models in {
        "QSVR as published": {n: replace(published_qsvr(dataset), featurizer=f).pipeline for n, f in features.items()},
        "RBF-SVR": {n: make_pipeline(f, StandardScaler(), rbf) for n, f in features.items()},
    }.items():
        with screen.bar(title) as advance:
            result = qperov.compare(models, dataset, repeats=repeats, progress=advance)
        print(f"{title}, {len(dataset)} crystals, MAE in {dataset.unit}")
        print(result.table[["model", "mae", "mae_low", "mae_high", "r2", "ceiling_r2"]].round(4).to_string(index=False))
        pairs = result.significance[["model_a", "model_b", "delta_mae", "low", "high", "p"]]
        print(pairs.round(4).to_string(index=False), end="\n\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2, help="of the five folds")
    parser.add_argument("--quick", action="store_true", help="100 crystals")
    arguments = parser.parse_args()
    main(arguments.repeats, arguments.quick)
