"""The papers' networks on cpx321: time to train CNN-Gen, and scores beside an RBF-SVR on the same information.

    python experiments/benchmarks/cnn.py

Scores are those of ``qperov.compare``: five folds by honest groups. The SVR
sees ten principal components of the same columns, standardised, and chooses its two hyperparameters on inner folds; the
networks tune nothing.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

import qperov
from qperov.classical.cnn import CNNRegressor
from qperov.classical.gan import WSPGAN
from qperov.errors import PublishedFaultWarning
from qperov.studies.regressors import EPSILON, grid_search
from qperov.torch_support import import_torch

#: Crystals of the papers' training set for CPX222.
N_TIMED = 520
KINDS = ("structure_factors", "pattern", "difference_gram", "matganip")


def time_cnn(features: np.ndarray, y: np.ndarray) -> float:
    """Seconds for one training on 520 matrices."""
    start = time.perf_counter()
    CNNRegressor().fit(features[:N_TIMED], y[:N_TIMED])
    return time.perf_counter() - start


def models(kind: str) -> dict[str, Pipeline]:
    """Pipelines of one descriptor."""
    featurizer = qperov.PXRDFeaturizer(kind)
    svr = grid_search(SVR(epsilon=EPSILON), {"C": [1.0, 10.0, 100.0], "gamma": [0.003, 0.01, 0.03, 0.1, 0.3]})
    steps = {
        "SVR RBF": [("scale", StandardScaler()), ("pca", qperov.descriptors.RankPCA()), ("model", svr)],
        "CNN-Gen": [("model", CNNRegressor())],
        "WSP-GAN": [("model", WSPGAN())],
        "WSP-GAN, labels alone": [("model", WSPGAN(adversarial_weight=0.0))],
        "WSP-GAN, game alone": [("model", WSPGAN(adversarial_weight=1.0, supervised_weight=0.0))],
    }
    if kind in ("matganip", "difference_gram"):  # the others are no input of the published networks
        steps |= {
            "CNN-Gen as published": [("model", CNNRegressor("published"))],
            "WSP-GAN as in MATGANIP": [("model", WSPGAN("matganip"))],
            "WSP-GAN as in MATGANICSS": [("model", WSPGAN("matganicss"))],
        }
    return {f"{name} · {kind}": Pipeline([("pxrd", featurizer), *rest]) for name, rest in steps.items()}


def main(kinds: list[str]) -> None:
    """Print the time and the table."""
    warnings.simplefilter("ignore", PublishedFaultWarning)
    dataset = qperov.load_dataset("cpx321")
    matrices = qperov.PXRDFeaturizer("difference_gram").fit_transform(dataset.structures)
    seconds = time_cnn(matrices, dataset.y)
    print(f"CNN-Gen on {N_TIMED} matrices: {seconds:.1f} s, {import_torch().get_num_threads()} threads")
    for kind in kinds:
        print(qperov.compare(models(kind), dataset), end="\n\n", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=KINDS)
    main(parser.parse_args().kinds)
