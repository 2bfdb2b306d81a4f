"""The models that ``qperov demo`` and ``qperov compare`` put side by side, with equal information and equal search."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from qperov.classical.cnn import CNNRegressor
from qperov.classical.gan import WSPGAN
from qperov.crystals.parent_lattice import ParentLattice, parent_lattices
from qperov.crystals.units import ENERGY_UNITS, convert_energies
from qperov.datasets.dataset import CrystalDataset
from qperov.descriptors.decorations import Decorations, SpinCorrelations
from qperov.descriptors.featurizer import PXRDFeaturizer
from qperov.descriptors.perovskite_sites import SiteFeatures
from qperov.descriptors.rank_pca import RankPCA
from qperov.descriptors.site_factors import SiteStructureFactors
from qperov.errors import DescriptorError
from qperov.evaluation.metrics import ceiling_r2
from qperov.evaluation.problem import Model
from qperov.evaluation.splits import identical_rows
from qperov.evaluation.tables import numerical_rank
from qperov.quantum.estimators.ising_process import IsingGaussianProcess
from qperov.quantum.estimators.regression import QuantumSVR
from qperov.quantum.kernels.fidelity import FidelityKernel
from qperov.quantum.kernels.ising import IsingKernel
from qperov.studies.inverse_design.features import CrystalFeatures
from qperov.studies.regressors import (
    CANDIDATES,
    CODE_OF,
    CODE_QUBITS,
    FAMILIES,
    INNER_FOLDS,
    MAPS,
    MOST_QUBITS,
    QUICK_CANDIDATES,
    RANGES,
    REUPLOADED_QUBITS,
    grid_search,
    ising_search,
    most_line_qubits,
    regressors,
    search_size,
)

#: Fewer crystals than this do not fill the six components of the published setting in every fold.
FEWEST_FOR_PUBLISHED = 20
#: Fewer five-atom perovskites than this do not tell one site's elements from another's.
FEWEST_FOR_SITES = 100
#: Fewer crystals than this teach a network nothing.
FEWEST_FOR_NETWORKS = 100
#: Crystals, evenly spaced, from which it is told how many components there are.
LOOKED_AT = 200
#: Rows that are left out where time is short.
LEFT_OUT = ("Gradient boosting", "Quantum kernel ridge")
#: Sites up to which decorations have a qubit each, and what of the classical models of their pairs stands beside.
MOST_SITES = 18
RIVALS = ("Ridge", "Kernel ridge", "Kernel ridge, RBF", "Kernel ridge, Laplacian", "SVR", "Gaussian process")
#: Crystals on which the couplings of an Ising kernel are trained; with ``quick``.
TRAINED, QUICK_TRAINED = 100, 60
#: Shells of their bonds, and steps of the training with ``quick``.
ISING_SHELLS, QUICK_STEPS = 4, 5
#: Descriptors of five-atom perovskites by the names that `--descriptors` takes.
SITE_KINDS: dict[str, Any] = {"sites": SiteFeatures(), "site_factors": SiteStructureFactors()}
#: Name of the reference that expands the energy in correlation functions.
EXPANSION = "Cluster expansion"


@dataclass(frozen=True)
class Suite:
    """Models ready for ``qperov.compare``.

    Attributes
    ----------
    models : dict of str to Model
        Under its name and its descriptor's, as in "Ridge · powder pattern".
    notes : tuple of str
        What a reader must know about them.
    """

    models: dict[str, Model]
    notes: tuple[str, ...]

    @property
    def pipelines(self) -> dict[str, Pipeline]:
        """The models from structures to predictions."""
        return {name: model.pipeline for name, model in self.models.items()}


def networks(*, quick: bool = False) -> list[Model]:
    """The papers' networks, repaired."""
    return [
        Model("CNN-Gen", CNNRegressor(epochs=3 if quick else 12)),
        Model("WSP-GAN", WSPGAN(steps=60 if quick else 600)),
    ]


def published_qsvr(dataset: CrystalDataset) -> Model:
    """The published setting: 6 principal components, unscaled, bandwidth 1, C = 1, ε = 0.1 with labels in meV a cell.

    Peaks are compared with those of the first crystal by their position in the list. That crystal is a constant which
    no label chose. `experiments/qsvr_reference.py` measures what the mean pattern at equal 2θ changes.
    An SVR does not change when labels, C and ε are multiplied by one number, so they are converted to the unit of the
    labels, and so is the solver's tolerance. The matrix is exact here, where the original drew 1024 shots.
    """
    one = convert_energies(np.ones(1), dataset.structures[:1], "meV/cell", dataset.unit or "meV/cell").item()
    kernel = FidelityKernel("zz", reps=2, entanglement="linear", bandwidth=1.0)
    machine = QuantumSVR(kernel, C=one, epsilon=0.1 * one, tolerance=1e-3 * one)
    pca = (("pca", PCA(6)),)
    vector = PXRDFeaturizer("qsvr", reference="first", alignment="position")
    return Model("QSVR as published", machine, vector, pca, family="quantum", role="contrast")


def build_suite(
    dataset: CrystalDataset,
    *,
    descriptors: tuple[str, ...] = (),
    quick: bool = False,
    exploratory: bool = True,
    random_state: int = 0,
) -> Suite:
    """Models for a dataset: diffraction features with ten regressors each, networks, and references.

    Parameters
    ----------
    dataset : CrystalDataset
    descriptors : tuple of str
        Kinds of PXRDFeaturizer, or keys of `SITE_KINDS`; by default ``pattern`` and ``structure_factors`` for
        decorations of one lattice, and ``profile`` for any other crystals, with ``sites`` for five-atom perovskites.
    quick : bool
        Smaller searches.
    exploratory : bool
        With the rows that take the most time: boosted trees, quantum kernel ridge regression, kernel ridge regression
        with each classical kernel, and the papers' networks.
    random_state : int
        Of the candidates of all searches.
    """
    lattices = lattices_of(dataset)
    kinds = descriptors or diffraction_kinds(lattices) + (("sites",) if are_five_atom_perovskites(dataset) else ())
    models: list[Model] = []
    many: list[str] = []
    for kind in kinds:
        featurizer, steps = SITE_KINDS.get(kind) or PXRDFeaturizer(kind), components(scaled=kind != "profile")
        rank = count_components(Pipeline([("features", featurizer), *steps]), dataset)
        many += [f"{featurizer.description}: {rank}"] if rank > MOST_QUBITS else []
        models += [
            replace(model, featurizer=featurizer, transformers=(*steps, *model.transformers))
            for model in regressors(rank, len(dataset), quick=quick, exploratory=exploratory, random_state=random_state)
        ]
    most = search_size(quick=quick, exploratory=exploratory)
    notes = [
        "Every model of a descriptor is given all its principal components, up to the numerical rank; a search divides "
        "them by their standard deviations or not (whitening), as it chooses.",
        f"Every search has {QUICK_CANDIDATES if quick else CANDIDATES} candidates, drawn from the same log ranges for "
        "quantum and classical machines (width of a kernel: "
        f"{' to '.join(f'{end:g}' for end in RANGES['width'])} typical distances, C: "
        f"{' to '.join(f'{end:g}' for end in RANGES['C'])}, α: {' to '.join(f'{end:g}' for end in RANGES['alpha'])}), "
        f"and compares them on {INNER_FOLDS} grouped inner folds of at most {most} "
        "crystals of the training fold. The times in the table are the searches' budgets. Classical kernel machines "
        f"choose among {', '.join(FAMILIES)}; quantum ones among "
        f"{', '.join(f'{name} {entanglement}' for name, entanglement in MAPS[:-1])} and {MAPS[-1][0]}. The Gaussian "
        "process, with a length scale a component, maximises its marginal likelihood instead.",
        "Quantum kernels have a qubit a component."
        if not many
        else f"Quantum kernels have a qubit a component. Above {MOST_QUBITS} components (here {'; '.join(many)}) only "
        f"maps that couple neighbours on a line are tried, as matrix product states; above {most_line_qubits(quick)} "
        f"components are written in turn onto {REUPLOADED_QUBITS} qubits (re-uploading).",
        "Autoencoder + SVR uses Pauli expectation values of the code of a quantum autoencoder, which compresses the "
        f"components (the first {2**CODE_OF - 1}, where there are more), encoded in the amplitudes of {CODE_OF} "
        f"qubits, to {CODE_QUBITS} qubits and never sees a label.",
    ]
    if "pattern" in kinds and len(dataset) >= FEWEST_FOR_PUBLISHED and dataset.unit in ENERGY_UNITS:
        models.append(published_qsvr(dataset))
        notes.append(
            "QSVR as published takes 6 unscaled components at bandwidth 1 without tuning; it is included for contrast."
        )
    if "profile" in kinds and not descriptors:
        notes.append("The crystals do not share one lattice, so patterns are compared as broadened profiles.")
    if not exploratory:
        models = [model for model in models if model.name not in LEFT_OUT]
        notes.append(f"To save time {', '.join(LEFT_OUT)}, CNN-Gen and WSP-GAN were left out; qperov compare has them.")
    elif len(dataset) < FEWEST_FOR_NETWORKS:
        notes.append(f"Fewer than {FEWEST_FOR_NETWORKS} crystals: the classical networks were left out.")
    elif find_spec("torch") is None:
        notes.append("The classical networks (CNN-Gen, WSP-GAN) were left out: they need pip install 'qperov[torch]'.")
    else:
        images = [PXRDFeaturizer(kind) for kind in kinds if kind not in SITE_KINDS][-1:]
        models += [replace(network, featurizer=image) for image in images for network in networks(quick=quick)]
        notes.append(
            "CNN-Gen and WSP-GAN take all columns as an image, without hyperparameter search; their settings were "
            "chosen on cpx321, so that their scores on that dataset are slightly optimistic. The game of WSP-GAN adds "
            "nothing there: MAE 0.1158 meV/atom with it, 0.1146 from its labels alone (structure factors, five folds, "
            "p 0.43; experiments/benchmarks/cnn.py)."
        )
    if exploratory and len(lattices) == 1 and 0 < len(lattices[0].sites) <= MOST_SITES:
        decorated = decoration_models(dataset, quick=quick, random_state=random_state)
        models += decorated
        notes += [
            "Ising models have a qubit a decorated site, couplings by shell, and average over the cell's symmetry; "
            "the Gaussian process trains one coupling a shell, and a field, by its marginal likelihood. The classical "
            f"models of {decorated[0].descriptor} see their point and pair correlations."
        ]
    physical = references(dataset, lattices, quick=quick, exploratory=exploratory, random_state=random_state)
    models += physical
    if physical:
        known = ", ".join(dict.fromkeys(model.descriptor for model in physical))
        notes.append(f"What the crystals tell without a diffraction pattern stands beside, as a reference: {known}.")
    if any(model.name == EXPANSION for model in physical) and any(EXPANSION.lower() in p for p in dataset.provenance):
        notes.append(
            f"{EXPANSION}: the labels were themselves made by a cluster expansion, so that its score says that labels "
            "and correlations fit each other, not that it predicts energies so well."
        )
    return Suite({f"{model.name} · {model.descriptor}": model for model in models}, tuple(notes))


def components(*, scaled: bool = True) -> tuple[tuple[str, BaseEstimator], ...]:
    """Columns to unit variance, then their principal components up to the rank.

    Columns of a profile are only centred, since they share a unit, and a column that holds nothing but the tail of a
    peak in the training fold would grow without bound elsewhere.
    """
    return (("scale", StandardScaler(with_std=scaled)), ("pca", RankPCA()))


def count_components(pipeline: Pipeline, dataset: CrystalDataset) -> int:
    """Principal components of the dataset, told from 200 of its crystals where these have fewer."""
    rows = np.unique(np.linspace(0, len(dataset) - 1, LOOKED_AT).astype(int))
    found = clone(pipeline).fit([dataset.structures[row] for row in rows])[-1].n_components_
    if found < len(rows) - 1 or len(rows) == len(dataset):
        return found
    return clone(pipeline).fit(dataset.structures)[-1].n_components_


def references(
    dataset: CrystalDataset,
    lattices: list[ParentLattice],
    *,
    quick: bool = False,
    exploratory: bool = True,
    random_state: int = 0,
) -> list[Model]:
    """What predicts from the crystals themselves: pairs of neighbours, a cluster expansion, composition and cell."""
    featurizers = [PXRDFeaturizer("trans_pairs")]
    decorated = len(lattices) == 1 and bool(lattices[0].sites)
    featurizers += [PXRDFeaturizer("pair_shells") if decorated else CrystalFeatures(geometry=True)]
    found = []
    for featurizer in featurizers:
        pipeline = Pipeline([("features", featurizer), *components()])
        try:
            clone(featurizer).fit_transform(dataset.structures)
            rank = count_components(pipeline, dataset)
        except DescriptorError:  # no octahedra, one kind of anion, or sites that are shared
            continue
        names = ("Ridge",) if isinstance(featurizer, PXRDFeaturizer) else ("Ridge", "Kernel ridge")
        found += [
            Model(model.name, model.regressor, featurizer, components(), family="reference", role="contrast")
            for model in regressors(rank, len(dataset), quick=quick, exploratory=exploratory, random_state=random_state)
            if model.name in names
        ]
    if has_correlations(lattices):
        search = grid_search(Ridge(), {"alpha": list(np.logspace(-9, 1, 6))})
        found.append(Model(EXPANSION, search, PXRDFeaturizer("correlations"), family="reference", role="contrast"))
    return found


def decoration_models(dataset: CrystalDataset, *, quick: bool = False, random_state: int = 0) -> list[Model]:
    """Ising kernels of the decorations of one lattice, and classical models of their correlations."""
    decorations = Decorations(n_shells=ISING_SHELLS).fit(dataset.structures)
    kernel = IsingKernel(decorations.bonds_, decorations.permutations_, lengths=decorations.lengths_)
    field = {"field": 0.05, "field_bounds": (1e-3, 0.7)}
    if np.ptp(decorations.transform(dataset.structures).sum(axis=1)):  # without a field both species are alike
        kernel.set_params(**field)
    steps = (("correlations", SpinCorrelations(decorations.permutations_)), *components())
    rank = count_components(Pipeline([("features", decorations), *steps]), dataset)
    beside = regressors(rank, len(dataset), quick=quick, exploratory=True, random_state=random_state)
    per_shell = clone(kernel).set_params(couplings=[0.02] * ISING_SHELLS)
    if not quick:  # clusters of odd order, at twice the cost
        per_shell.set_params(**field)
    training = {"n_subset": QUICK_TRAINED, "max_iter": QUICK_STEPS} if quick else {"n_subset": TRAINED}
    process = IsingGaussianProcess(per_shell, random_state=random_state, **training)
    quantum = [
        Model("Ising QSVR", ising_search(kernel, quick=quick, random_state=random_state), family="quantum"),
        Model("Ising Gaussian process", process, family="quantum"),
    ]
    rivals = [replace(model, transformers=steps) for model in beside if model.name in RIVALS]
    return [replace(model, featurizer=Decorations(n_shells=ISING_SHELLS)) for model in (*quantum, *rivals)]


def lattices_of(dataset: CrystalDataset) -> list[ParentLattice]:
    """The different lattices of sites that the crystals decorate."""
    return [parent for parent, _, _ in parent_lattices(dataset.structures)]


def diffraction_kinds(lattices: list[ParentLattice]) -> tuple[str, ...]:
    """Kinds of diffraction feature that fit crystals on these lattices: resolved ones where all decorate one."""
    return ("pattern", "structure_factors") if len(lattices) == 1 else ("profile",)


def are_five_atom_perovskites(dataset: CrystalDataset) -> bool:
    """Whether the crystals are enough for site-resolved numbers, and all are perovskites of five atoms."""
    if len(dataset) < FEWEST_FOR_SITES or any(len(structure) != 5 for structure in dataset.structures):
        return False
    try:
        SiteFeatures().transform(dataset.structures)
    except DescriptorError:
        return False
    return True


def has_correlations(lattices: list[ParentLattice]) -> bool:
    """Whether it is one lattice, decorated with two species a sublattice."""
    choices = lattices[0].choices
    return len(lattices) == 1 and bool(choices) and max(len(choice) for choice in choices) == 2


def description(dataset: CrystalDataset) -> str:
    """A dataset in plain text: compositions, cells, symmetry classes, labels, descriptors, what was left out."""
    formulas = Counter(structure.composition.reduced_formula for structure in dataset.structures)
    atoms = sorted({len(structure) for structure in dataset.structures})
    lattices = lattices_of(dataset)
    n_classes = len(np.unique(dataset.groups))
    lines = [
        f"{dataset.name}: {len(dataset)} crystals, {n_classes} symmetry classes, lattices: {len(lattices)}",
        "compositions: " + ", ".join(f"{formula} ({many})" for formula, many in formulas.most_common(8)),
        f"atoms a cell: {atoms[0]}" + (f" to {atoms[-1]}" if len(atoms) > 1 else ""),
    ]
    if dataset.y is not None:
        lines.append(
            f"{dataset.target} [{dataset.unit or 'no unit'}]: mean {dataset.y.mean():.6g}, standard deviation "
            f"{dataset.y.std():.4g}, from {dataset.y.min():.6g} to {dataset.y.max():.6g}"
        )
        lines += [f"labels: {text} ({many})" for text, many in Counter(dataset.provenance).most_common()]
        if dataset.label_noise is not None:
            lines.append(f"noise of the labels (inside symmetry classes): {dataset.label_noise:.3g}")
    for kind in (*diffraction_kinds(lattices), *(("correlations",) if has_correlations(lattices) else ())):
        try:
            features = PXRDFeaturizer(kind).fit_transform(dataset.structures)
        except DescriptorError as error:  # what one crystal lacks hides nothing of the others
            reasons = getattr(error, "reasons", {})
            named = [f"{dataset.ids[row]}: {reason}" for row, reason in list(reasons.items())[:5]]
            lines.append(f"{PXRDFeaturizer(kind).description}: not computed; {'; '.join(named) or error}")
            continue
        twins = identical_rows(features)
        ceiling = f", ceiling R² {ceiling_r2(dataset.y, twins):.3f}" if dataset.y is not None else ""
        lines.append(
            f"{PXRDFeaturizer(kind).description}: {features.shape[1]} columns, rank {numerical_rank(features)}, "
            f"{len(np.unique(twins))} distinct{ceiling}"
        )
    kinds = Counter(type(issue).__name__ for issue in dataset.issues)
    lines += [f"left out: {many} × {kind}" for kind, many in kinds.most_common()]
    lines += [f"caution: {caution}" for caution in dataset.cautions]
    return "\n".join(lines)
