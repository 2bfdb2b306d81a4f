from __future__ import annotations

import warnings

import numpy as np
import pytest
from crystal_prototypes import (
    caesium_chloride,
    cubic_perovskite,
    face_sharing,
    redescribed,
    rock_salt,
)
from development_data import SHARED, needs_shared
from joblib import parallel_config
from pymatgen.core import DummySpecies, Lattice, Structure
from scipy.stats import binomtest

from qperov.errors import EmptyDatasetError
from qperov.generative.bench.criteria import CRITERIA
from qperov.generative.bench.validation import ValidationReport, validate

REFERENCE = [cubic_perovskite(("Sr", "Ti", "O")), cubic_perovskite(("Ba", "Ti", "O"), 4.0)]


def judged(generated: list[Structure | None], **settings: object) -> ValidationReport:
    return validate(generated, REFERENCE, dissimilarity=False, **settings)  # type: ignore[arg-type]


def counts(report: ValidationReport) -> dict[str, int]:
    return dict(zip(report.table["criterion"], report.table["count"], strict=True))


def planted() -> dict[str, Structure | None]:
    """One crystal for each thing that can be wrong, beside sound ones."""
    colliding = cubic_perovskite()
    colliding.append("O", [0.5, 0.5, 0.05])
    overlapping = cubic_perovskite()
    overlapping.append("O", [0.5, 0.5, 0.3])
    return {
        "sound": cubic_perovskite(),
        "known": redescribed(REFERENCE[0]),
        "twin": redescribed(cubic_perovskite(), 7),
        "colliding": colliding,
        "overlapping": overlapping,
        "charged": Structure(Lattice.cubic(5), ["Na", "Cl", "Cl"], [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5]]),
        "alloy": Structure.from_spacegroup("Pm-3m", Lattice.cubic(3.75), ["Au", "Cu"], [[0, 0, 0], [0.5, 0.5, 0]]),
        "tiny": caesium_chloride(0.5),
        "none": None,
        "face sharing": face_sharing(),
        "not finite": Structure(Lattice.cubic(3), ["Na"], [[np.nan, 0, 0]]),
        "no sites": Structure(Lattice.cubic(3), [], []),
        "needle": Structure(Lattice.orthorhombic(2.5, 2.5, 600), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
        "flat": Structure(Lattice([[3, 0, 0], [3, 0, 0], [0, 0, 3]]), ["Na"], [[0, 0, 0]]),
        "no element": Structure(Lattice.cubic(5), [DummySpecies("X"), "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    }  # fmt: skip


def test_planted_cases() -> None:
    crystals = planted()
    names = list(crystals)
    told = judged(list(crystals.values())).per_structure.set_index(np.array(names))

    def passing(criterion: str) -> set[str]:
        return {name for name in names if told.loc[name, criterion]}

    everything = set(names)
    assert passing("decodable") == everything - {"none"}
    assert passing("volume") == everything - {"none", "tiny", "not finite", "no sites", "flat"}
    assert everything - passing("distance") == {"none", "tiny", "colliding", "not finite", "no sites", "flat"}
    assert passing("distance") - passing("covalent_distance") == {"overlapping", "no element"}
    assert {"charged", "no element", "none"} <= everything - passing("charge_neutral")
    assert "alloy" in passing("charge_neutral")
    assert passing("valid") == {"sound", "known", "twin", "alloy", "face sharing", "needle"}
    assert "twin" not in passing("unique")
    assert told.loc["twin", "group"] == names.index("sound")
    assert passing("valid_unique_novel") == {"sound", "alloy", "face sharing"}
    assert told.loc["known", "known_as"] == 0
    assert passing("octahedra") == {"sound", "known", "twin", "face sharing"}
    assert passing("corner_sharing") == {"sound", "known", "twin"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none", "decodable: no crystal"),
        ("known", "novel: the same as reference 0"),
        ("twin", "unique: the same as generated 0"),
        ("colliding", "distance: O–O 0.195 Å apart, under 0.5"),
        ("overlapping", "covalent_distance: "),
        ("charged", "charge_neutral: no charges balance in NaCl2"),
        ("tiny", "volume: 0.0625 Å³ an atom, under 0.1"),
        ("not finite", "not a finite number"),
        ("no sites", "volume: no atoms"),
        ("needle", "not compared: a cell 39 times longer"),
        ("flat", "volume: 0 Å³ an atom"),
        ("no element", "charge_neutral: "),
        ("face sharing", "corner_sharing: octahedra share faces"),
    ],
)
def test_reasons(name: str, reason: str) -> None:
    crystals = {"sound": cubic_perovskite(), name: planted()[name]}
    assert reason in judged(list(crystals.values())).per_structure["reasons"].iloc[1]


def test_shares_are_out_of_all_that_was_generated() -> None:
    report = judged([cubic_perovskite(), None, None, None])
    assert set(report.table["out_of"]) == {4}
    valid = report.table.set_index("criterion").loc["valid"]
    assert (valid["count"], valid["share"]) == (1, 0.25)
    assert (valid["low"], valid["high"]) == binomtest(1, 4).proportion_ci(method="wilson")


def test_formula_and_structure_told_apart() -> None:
    distorted = Structure(Lattice.tetragonal(3.0, 5.4), ["Sr", "Ti", "O", "O", "O"],
                          [[0, 0, 0], [0.5, 0.5, 0.35], [0.5, 0.5, 0.7], [0.5, 0, 0.5], [0, 0.5, 0.0]])  # fmt: skip
    found = counts(judged([cubic_perovskite(), distorted, REFERENCE[1]]))
    assert (found["novel"], found["novel_formula"], found["novel_structure"]) == (2, 1, 1)


def test_order_does_not_matter() -> None:
    crystals = list(planted().values())
    # a sound crystal and an unsound one that the matcher takes for the same
    squeezed = cubic_perovskite(a=2.2)
    crystals += [squeezed, cubic_perovskite(("Mg", "Si", "O"), 2.2), cubic_perovskite(("Mg", "Si", "O"), 3.6)]
    expected = counts(judged(crystals))
    for seed in range(2):
        order = np.random.default_rng(seed).permutation(len(crystals))
        assert counts(judged([crystals[i] for i in order])) == expected
    assert expected["unique"] < expected["distance"]


def test_reference_against_itself_is_valid_and_known() -> None:
    found = counts(judged(list(REFERENCE)))
    assert (found["valid"], found["unique"], found["novel"], found["corner_sharing"]) == (2, 2, 0, 2)


def test_dissimilarity() -> None:
    report = validate([REFERENCE[0], rock_salt(), None], REFERENCE, perovskite=False)
    assert report.per_structure["dissimilarity"].to_numpy() == pytest.approx([0, 2.742, np.nan], abs=0.01, nan_ok=True)
    assert report.per_structure["dissimilar"].tolist() == [False, True, False]
    assert "octahedra" not in set(report.table["criterion"])


def test_relaxation_and_stability() -> None:
    def relax(structure: Structure) -> Structure | None:
        formula = structure.composition.reduced_formula
        if formula == "NaCl":
            raise RuntimeError("the potential\nblew up")
        if formula == "Cu3Au":
            return None
        if formula == "CaTiO3":
            return structure.translate_sites([1], [0.02, 0, 0])
        return Structure(Lattice.orthorhombic(3, 5, 9), structure.species, structure.frac_coords)

    asked: list[str] = []

    def hull(structure: Structure) -> float:
        asked.append(structure.composition.reduced_formula)
        return {"CaTiO3": 0.03, "BaNiO3": 0.2}.get(asked[-1], np.nan)

    crystals = planted()
    generated = [crystals[name] for name in ("sound", "alloy", "face sharing", "none", "colliding")]
    generated += [caesium_chloride(), cubic_perovskite(("Mg", "Si", "O"), 3.6)]
    report = judged(generated, relax=relax, hull=hull)
    found = counts(report)
    assert (found["relaxed"], found["kept"], found["stable"], found["stable_unique_novel"]) == (3, 1, 1, 1)
    told = report.per_structure
    assert told["rmsd"].iloc[0] == pytest.approx(0.02 * 3.9 * np.sqrt(1 / 5 - 1 / 25))
    assert told["above_hull"].iloc[[0, 2]].tolist() == [0.03, 0.2]
    assert "relaxed: RuntimeError: the potential blew up" in told["reasons"].iloc[5]
    assert "relaxed: the relaxation failed" in told["reasons"].iloc[1]
    assert "stable: 0.200 eV/atom above the hull" in told["reasons"].iloc[2]
    assert "stable: no energy above hull" in told["reasons"].iloc[6]
    # what collides is never handed to a potential
    assert sorted(asked) == ["BaNiO3", "CaTiO3", "MgSiO3"]


def test_relaxation_leaves_what_was_generated_alone() -> None:
    crystal = cubic_perovskite()
    before = crystal.copy()
    judged([crystal], relax=lambda own: own.perturb(0.2))
    assert crystal == before


def test_energy_of_unrelaxed_crystals_is_noted() -> None:
    assert "not relaxed" in judged([cubic_perovskite()], hull=lambda own: 0.0).summary()


def test_progress() -> None:
    seen: list[tuple[int, int, str]] = []
    crystals = [cubic_perovskite(), None, caesium_chloride()]
    validate(crystals, REFERENCE, relax=lambda own: own, progress=lambda *step: seen.append(step))
    assert {stage for *_, stage in seen} == {"fingerprints of the reference", "fingerprints", "relaxation"}
    assert [step[:2] for step in seen if step[2] == "relaxation"] == [(1, 2), (2, 2)]


def test_several_workers_find_the_same() -> None:
    crystals = [cubic_perovskite(), None, caesium_chloride()]
    with parallel_config(backend="threading"):
        several = validate(crystals, REFERENCE, n_jobs=2)
    assert several.per_structure.equals(validate(crystals, REFERENCE).per_structure)


def test_summary_names_every_criterion() -> None:
    report = judged([cubic_perovskite(), None])
    assert str(report) == report.summary()
    for name in report.table["criterion"]:
        assert name in report.summary()
        assert name in CRITERIA
    assert "median least distance: 1.95 (Å)" in report.summary()


def test_nothing_to_judge() -> None:
    with pytest.raises(EmptyDatasetError, match="nothing was generated"):
        judged([])
    with pytest.raises(EmptyDatasetError, match="no reference"):
        validate([cubic_perovskite()], [])


@needs_shared
def test_tlvae_crystals_go_through() -> None:
    files = sorted((SHARED / "cifs").glob("*.cif"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        crystals = [Structure.from_file(path) for path in files]
    report = validate(crystals, REFERENCE)
    assert report.per_structure["formula"].tolist() == ["AlPtS3", "AlPtO3", "GaPd3O", "GaPdO3"]
    found = counts(report)
    assert (found["distance"], found["covalent_distance"], found["unique"], found["novel"]) == (4, 4, 4, 4)
    # one has no charges that balance; one (Ga³⁺, Pd³⁺) has common ones; none has octahedra that share corners
    assert (found["valid"], found["common_charges"], found["corner_sharing"]) == (3, 1, 0)
    assert found["dissimilar"] == 4
