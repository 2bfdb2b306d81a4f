"""The criteria of the bench, and the sheet on which verdicts about each generated crystal are gathered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from qperov.generative.bench.dissimilarity import THRESHOLD
from qperov.generative.bench.validity import COVALENT_SHARE, LEAST_DISTANCE, LEAST_VOLUME
from qperov.generative.bench.verdict import Verdict

#: Energy above hull up to which a crystal counts as stable, eV/atom.
STABLE = 0.1

#: What each criterion asks, in the order of the table.
CRITERIA = {
    "decodable": "the model's output is a crystal at all",
    "distance": f"no two atoms closer than {LEAST_DISTANCE:g} Å",
    "covalent_distance": f"no distance under {COVALENT_SHARE:g} of the sum of the covalent radii",
    "volume": f"at least {LEAST_VOLUME:g} Å³ an atom",
    "charge_neutral": "charges of SMACT's list of 2014 (smact14) balance; alloys and elements pass",
    "valid": "all of the above",
    "common_charges": "charges of the list pymatgen_sp, by SMACT, balance; alloys and elements pass",
    "unique": "one for each group of crystals that are the same",
    "novel": "no reference is the same crystal",
    "novel_formula": "novel, and no reference has the formula",
    "novel_structure": "novel, though a reference has the formula",
    "valid_unique_novel": "valid, unique and novel",
    "octahedra": "every B stands in an octahedron of six X",
    "corner_sharing": "octahedra that share all corners, no edges or faces",
    "dissimilar": f"surroundings of the sites differ from those in every reference by {THRESHOLD:g} or more",
    "relaxed": "the relaxation came to an end",
    "kept": "relaxed, and still the same crystal",
    "stable": f"at most {STABLE:g} eV/atom above the hull",
    "stable_unique_novel": "stable, unique and novel",
}
#: Numbers that stand beside the verdicts, with their units.
VALUES = {
    "least_distance": "Å",
    "covalent_share": "of the sum of the covalent radii",
    "atom_volume": "Å³/atom",
    "dissimilarity": "to the nearest reference",
    "rmsd": "Å, on relaxation",
    "volume_change": "share, on relaxation",
    "above_hull": "eV/atom",
}
#: What a valid crystal meets.
VALID = ("decodable", "distance", "covalent_distance", "volume", "charge_neutral")


@dataclass
class Sheet:
    """Verdicts and numbers as they come in; a criterion that was not noted has failed."""

    n: int
    passed: dict[str, np.ndarray] = field(default_factory=dict)
    values: dict[str, np.ndarray] = field(default_factory=dict)
    reasons: dict[int, dict[str, str]] = field(default_factory=dict)
    labels: dict[str, list] = field(default_factory=dict)

    def note(self, index: int, criterion: str, verdict: Verdict, value_name: str | None = None) -> None:
        self.passed.setdefault(criterion, np.zeros(self.n, dtype=bool))[index] = verdict.passed
        if verdict.reason:
            self.reasons.setdefault(index, {})[criterion] = verdict.reason
        if value_name is not None:
            self.measure(index, value_name, verdict.value)

    def measure(self, index: int, name: str, value: float) -> None:
        self.values.setdefault(name, np.full(self.n, np.nan))[index] = value

    def label(self, index: int, name: str, text: object, default: object) -> None:
        self.labels.setdefault(name, [default] * self.n)[index] = text

    def holds(self, index: int, criterion: str) -> bool:
        return bool(self.column(criterion)[index])

    def column(self, criterion: str) -> np.ndarray:
        return self.passed.get(criterion, np.zeros(self.n, dtype=bool))

    def all_of(self, criterion: str, parts: Sequence[str]) -> None:
        self.passed[criterion] = np.logical_and.reduce([self.column(part) for part in parts])

    def table(self, criteria: Sequence[str]) -> pd.DataFrame:
        rows = []
        for name in criteria:
            count = int(self.column(name).sum())
            low, high = binomtest(count, self.n).proportion_ci(method="wilson")
            rows.append([name, CRITERIA[name], count, self.n, count / self.n, low, high])
        return pd.DataFrame(rows, columns=["criterion", "asks", "count", "out_of", "share", "low", "high"])

    def per_structure(self, criteria: Sequence[str]) -> pd.DataFrame:
        told = ["\n".join(f"{k}: {v}" for k, v in self.reasons.get(index, {}).items()) for index in range(self.n)]
        formulas = self.labels.get("formula", [""] * self.n)
        columns: dict[str, object] = {"index": np.arange(self.n), "formula": formulas}
        columns |= {name: self.column(name) for name in criteria}
        columns |= {name: self.values[name] for name in VALUES if name in self.values}
        columns |= {name: self.labels.get(name, [-1] * self.n) for name in ("group", "known_as")}
        return pd.DataFrame({**columns, "reasons": told})
