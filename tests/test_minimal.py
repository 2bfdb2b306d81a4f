"""The whole way in one short test: crystals, features, models, comparison, record, report."""

from __future__ import annotations

from pathlib import Path

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

import qperov


def test_from_crystals_to_report(tmp_path: Path) -> None:
    dataset = qperov.load_dataset("cpx321").take(range(0, 986, 4))

    def pipeline(model: object) -> object:
        return make_pipeline(
            qperov.PXRDFeaturizer("structure_factors"), StandardScaler(), qperov.descriptors.RankPCA(8), model
        )

    result = qperov.compare(
        {
            "SVR": pipeline(SVR(C=3, gamma=0.02, epsilon=0.02)),
            "QSVR": pipeline(qperov.QuantumSVR(qperov.FidelityKernel(bandwidth=0.02), C=30, epsilon=0.02)),
        },
        dataset,
    )
    scores = result.table.set_index("model")
    assert set(scores.index) == {"SVR", "QSVR", "mean of the training labels", "median of the training labels"}
    assert scores.loc["QSVR", "family"] == "quantum"
    assert scores.loc["SVR", "r2"] > scores.loc["mean of the training labels", "r2"]

    task = {"command": "pytest", "seed": 0}
    record = qperov.records.write_record(tmp_path / "run", result, task=task, dataset=dataset.about)
    page = qperov.reports.build_report(record).read_text(encoding="utf-8")
    assert "PBE energies through a cluster expansion" in page
    assert "QSVR" in page
    assert "median of the training labels" in page
