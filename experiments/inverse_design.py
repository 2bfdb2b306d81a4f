"""Three generators of crystals, trained, asked for a property, and judged on one bench beside two baselines.

    python experiments/inverse_design.py --out qperov-runs/inverse-design
    python experiments/inverse_design.py --quick --data abx3_radii
    python experiments/inverse_design.py --data cifs/ --labels labels.csv --target formation_energy --unit eV/atom

trains FTCP's, TL-VAE's and iMatGen's models on crystals with one property, measures reconstruction and property heads
on compositions held out, samples each model in five ways, judges the samples, relaxes what is valid, unique and novel
if asked to, and writes it as CIF, POSCAR and DFT inputs. All of it goes into a run's record and report; ``qperov report
RUN`` makes the report anew. Trained models and relaxations are kept in the output folder and taken again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from inverse_design_samples import NOTES, Told, baselines, judged, relaxed, sampled, with_property, write_samples
from pymatgen.core import Lattice, Structure
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold, GroupShuffleSplit
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

import qperov
from qperov.datasets.embedded.abx3 import embedded_perovskite_set
from qperov.errors import EmptyDatasetError, MissingLabelError, ReadingError, RepresentationError
from qperov.evaluation.splits import connected
from qperov.generative.bench.reconstruction import reconstruction_errors
from qperov.generative.imatgen.model import IMatGen
from qperov.generative.models.base import GenerativeModel
from qperov.generative.models.ftcp_vae import FTCPVAE
from qperov.generative.models.tlvae import TLVAE
from qperov.generative.representations.ftcp import FTCP
from qperov.generative.representations.representation import description
from qperov.generative.representations.tlvae_image import TLVAEImage
from qperov.generative.representations.voxels import Voxels
from qperov.reports.maps.embedding import embed
from qperov.studies.inverse_design.bench import bench_study
from qperov.studies.inverse_design.features import CrystalFeatures
from qperov.studies.inverse_design.latent import latent_study
from qperov.studies.inverse_design.nearness import nearness_study
from qperov.studies.inverse_design.results import Generation, HeldOut, Sample, Target, TrainedGenerator
from qperov.studies.inverse_design.training import CONSTANT, training_study
from qperov.studies.models import EPSILON, INNER_FOLDS, searched

REGRESSOR_NOTES = (
    "The regressors compared here generate nothing: they are what a generator's property head has to stand beside. "
    "They see statistics of the elements' properties over the atoms, and with “geometry” the volume an atom, distances "
    "to nearest neighbours and the shape of the cell.",
    "This comparison cross-validates over all crystals; the sections on generators use one split, in which some "
    "formulas are held out, since every model is trained once.",
)
#: What predicts the obtained property.
JUDGE = "SVR RBF · composition and geometry"
#: Formation energies of this data set refer to elements relaxed by the same potential.
WITH_REFERENCES = "abx3"
#: Fewer formulas than this are no ground to hold some out.
FEWEST_FORMULAS = 10
#: Crystals whose fit into a representation is tried at once.
CHUNK = 64
#: TL-VAE's threshold of stability and the default target, for formation energies in eV/atom; how near counts.
STABLE, TARGET, NEAR = -1.5, -2.0, 0.1


@dataclass(frozen=True)
class Task:
    """Settings of the experiment.

    Attributes
    ----------
    out : Path
        Folder of models, relaxations and runs.
    data : str
        Name of an embedded dataset, or a folder or file of crystals.
    labels, target, unit : str or None
        Of crystals from files: table of labels, its column, and the unit of that.
    models : tuple of str
        Of "ftcp", "tlvae", "imatgen".
    quick : bool
        Small networks, few epochs: to see that everything works.
    target_value, tolerance, threshold : float or None
        Property asked for, how near counts, and property up to which a crystal counts as stable. By default −2, 0.1 and
        −1.5 for formation energies in eV/atom; otherwise the lowest decile of the labels, a tenth of their standard
        deviation, and their median.
    count : int
        Crystals sampled of each model in each way, and of each baseline.
    test_size : float
        Share of the formulas held out.
    folds : int
        Of the comparison of regressors.
    most : int or None
        Crystals taken of the data, drawn at random.
    dissimilarity : bool
        Compare surroundings of sites with the training crystals': the longest part of the bench.
    relax : bool
        Relax valid, unique and novel crystals by CHGNet.
    most_relaxed : int
        Of each sample.
    dft : str
        Preset of the DFT inputs.
    jobs : int
        Processes of the bench, the comparison and the relaxations.
    device : str
        Of the networks, as in PyTorch.
    seed : int
    """

    out: Path = Path("qperov-runs/inverse-design")
    data: str = "abx3"
    labels: str | None = None
    target: str | None = None
    unit: str | None = None
    models: tuple[str, ...] = ("ftcp", "tlvae", "imatgen")
    quick: bool = False
    target_value: float | None = None
    tolerance: float | None = None
    threshold: float | None = None
    count: int = 200
    test_size: float = 0.2
    folds: int = 5
    most: int | None = None
    dissimilarity: bool = True
    relax: bool = False
    most_relaxed: int = 50
    dft: str = "tl-vae"
    jobs: int = 1
    device: str = "cpu"
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Split:
    """Crystals to train on and crystals held out, each with the groups that were not parted."""

    training: qperov.datasets.CrystalDataset
    training_groups: np.ndarray
    held: qperov.datasets.CrystalDataset
    held_groups: np.ndarray


# --- data ---------------------------------------------------------------------------------------


def load(task: Task) -> qperov.datasets.CrystalDataset:
    """Labelled crystals with right-handed cells.

    Raises
    ------
    MissingLabelError
        There are no labels.
    """
    if Path(task.data).exists():
        given = {name: getattr(task, name) for name in ("labels", "target", "unit") if getattr(task, name) is not None}
        dataset = qperov.read(task.data, **given).one_per_class()
    else:
        dataset = qperov.load_dataset(task.data)
    if dataset.y is None:
        raise MissingLabelError(task.data, "generators need a property to be asked for; name a target")
    if task.most is not None and task.most < len(dataset):
        rows = np.random.default_rng(task.seed).choice(len(dataset), task.most, replace=False)
        dataset = dataset.take(np.sort(rows))
    return replace(dataset, structures=tuple(right_handed(structure) for structure in dataset.structures))


def right_handed(structure: Structure) -> Structure:
    """The same crystal, all three axes turned round if they are left-handed: so representations give it back."""
    if np.linalg.det(structure.lattice.matrix) > 0:
        return structure
    return Structure(Lattice(-structure.lattice.matrix), structure.species_and_occu, -structure.frac_coords)


def represented(
    dataset: qperov.datasets.CrystalDataset, models: Mapping[str, GenerativeModel]
) -> qperov.datasets.CrystalDataset:
    """Crystals that fit into the representations of all models; the others are its issues."""
    reasons: dict[int, str] = {}
    for name, model in models.items():
        for start in range(0, len(dataset), CHUNK):
            try:
                model.representation.encode(dataset.structures[start : start + CHUNK])
            except RepresentationError as error:
                reasons |= {start + row: f"does not fit {name}: {reason}" for row, reason in error.reasons.items()}
    kept = [row for row in range(len(dataset)) if row not in reasons]
    issues = tuple(ReadingError(dataset.ids[row], reason) for row, reason in sorted(reasons.items()))
    return replace(dataset.take(kept), issues=(*dataset.issues, *issues)) if issues else dataset


def split(task: Task, dataset: qperov.datasets.CrystalDataset) -> Split:
    """Crystals to train on and crystals held out: no formula and no symmetry class is on both sides.

    Raises
    ------
    EmptyDatasetError
        Too few formulas.
    """
    formulas = np.unique(formulas_of(dataset.structures), return_inverse=True)[1]
    groups = connected(np.asarray(dataset.groups), formulas)
    if (many := len(np.unique(groups))) < FEWEST_FORMULAS:
        raise EmptyDatasetError(f"{dataset.name}: {many} formulas, and {FEWEST_FORMULAS} are needed to hold some out")
    splitter = GroupShuffleSplit(1, test_size=task.test_size, random_state=task.seed)
    train, held = next(splitter.split(groups, groups=groups))
    return Split(dataset.take(train), groups[train], dataset.take(held), groups[held])


def formulas_of(structures: Sequence[Structure]) -> list[str]:
    """Reduced formulas."""
    return [structure.composition.reduced_formula for structure in structures]


def target_of(task: Task, dataset: qperov.datasets.CrystalDataset, labels: np.ndarray) -> Target:
    """Property and value wanted, from the settings or by default."""
    energy = dataset.unit == "eV/atom" and "formation" in (dataset.target or "")
    defaults = (TARGET, NEAR, STABLE)
    if not energy:
        defaults = (float(np.quantile(labels, 0.1)), float(labels.std() / 10), float(np.median(labels)))
    given = (task.target_value, task.tolerance, task.threshold)
    value, tolerance, threshold = (d if g is None else g for g, d in zip(given, defaults, strict=True))
    name = (dataset.target or "property").replace("_", " ")
    return Target(dataset.name, name, dataset.unit or "", value, tolerance, threshold)


# --- models -------------------------------------------------------------------------------------


def presets(task: Task, threshold: float) -> dict[str, GenerativeModel]:
    """Models by the names that the report has for them."""
    common = {"device": task.device, "random_state": task.seed}
    small = {"latent": 16, "hidden": 64, "epochs": 3, "batch_size": 32} if task.quick else {}
    narrow = {"cell_channels": (4, 4, 4), "basis_channels": (4, 4, 4), "channels": (16, 16, 16, 8), "basis_code": 32}
    small_images = small | narrow | {"cell_epochs": 1, "basis_epochs": 1} if task.quick else {}
    found: dict[str, GenerativeModel] = {}
    for name in task.models:
        if name == "ftcp":
            found["FTCP"] = FTCPVAE(FTCP(), **common, **small)
        elif name == "tlvae":
            found["TL-VAE"] = TLVAE(TLVAEImage(), threshold=threshold, **common, **small)
        elif name == "imatgen":
            found["iMatGen"] = IMatGen(Voxels(grid=32), threshold=threshold, **common, **small_images)
        else:
            raise ValueError(f"no model {name!r}; there are ftcp, tlvae, imatgen")
    return found


def trained_model(
    task: Task, name: str, model: GenerativeModel, dataset: qperov.datasets.CrystalDataset
) -> tuple[GenerativeModel, float]:
    """The model trained on a dataset, from the output folder if it is there, and the seconds that took."""
    settings = {
        "version": qperov.__version__,
        "model": type(model).__name__,
        "parameters": {k: v for k, v in model.get_params(deep=False).items() if k not in ("representation", "device")},
        "representation": description(model.representation),
        "data": dataset.fingerprint,
    }
    key = hashlib.sha256(json.dumps(settings, sort_keys=True, default=repr).encode()).hexdigest()[:12]
    folder = task.out / "models"
    file = folder / f"{name.lower()}-{key}.safetensors"
    clock = file.with_suffix(".json")
    if file.exists() and clock.exists():
        print(f"{name}: trained before, {file}")
        loaded = type(model).load(file, representation=model.representation).set_params(device=task.device)
        return loaded, float(json.loads(clock.read_text())["seconds"])
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    model.fit(list(dataset.structures), dataset.y, progress=Told(name))
    seconds = time.perf_counter() - began
    model.save(file)
    clock.write_text(json.dumps(settings | {"seconds": seconds}))
    print(f"{name}: trained in {seconds:.0f} s, {file}")
    return model, seconds


# --- regressors that are no generators ----------------------------------------------------------


def regressors(quick: bool) -> dict[str, Pipeline]:
    """From structures to the property, each on composition alone and with geometry."""
    penalties, widths = ([10.0], [0.01, 0.03]) if quick else ([1.0, 10.0, 100.0], [0.003, 0.01, 0.03, 0.1])
    found = {}
    for features in (CrystalFeatures(), CrystalFeatures(geometry=True)):
        for name, model in (
            ("Ridge", searched(Ridge(), {"alpha": list(np.logspace(-3, 3, 4 if quick else 13))})),
            ("SVR RBF", searched(SVR(epsilon=EPSILON), {"C": penalties, "gamma": widths})),
            ("Extra trees", ExtraTreesRegressor(50 if quick else 300, random_state=0)),
        ):
            steps = [("features", features), ("scale", StandardScaler()), ("model", model)]
            found[f"{name} · {features.description}"] = Pipeline(steps)
    return found


def fitted(model: Pipeline, structures: Sequence[Structure], y: np.ndarray, groups: np.ndarray) -> Pipeline:
    """A regressor fitted, its hyperparameters chosen on inner folds that part no group."""
    if hasattr(model[-1], "cv"):
        model.set_params(model__cv=GroupKFold(INNER_FOLDS))
        return model.fit(structures, y, model__groups=groups)
    return model.fit(structures, y)


# --- all of it ----------------------------------------------------------------------------------


def main(task: Task, command: str = "python experiments/inverse_design.py") -> Path:
    """Train, sample, judge, write; returns the report."""
    dataset = represented(load(task), presets(task, 0.0))
    parts = split(task, dataset)
    target = target_of(task, dataset, parts.training.y)
    print(f"{dataset}: {len(parts.training)} to train on, {len(parts.held)} held out")
    print(f"asked for: {target.name} {target.with_unit(target.value)}")
    # these refuse crystals whose charges cannot be told: better now than after the training
    rivals = baselines(parts.training.structures, task.count, task.seed)
    judges = {
        name: fitted(model, parts.training.structures, parts.training.y, parts.training_groups)
        for name, model in regressors(task.quick).items()
    }
    held_out = held_out_facts(parts, judges)
    trained, samples = generators(task, parts, target)
    generation = generated(task, parts, [*samples, *rivals], judges[JUDGE])
    studies = (
        training_study(target, held_out, trained, seed=task.seed),
        latent_study(target, parts.training.y, trained),
        bench_study(target, generation),
        nearness_study(target, generation),
    )
    unfinished = task.out / "unfinished"
    comparison = qperov.compare(
        regressors(task.quick), dataset, folds=task.folds, seed=task.seed, n_jobs=task.jobs,
        progress=Told("regressors"), resume=unfinished,
    )  # fmt: skip
    comparison = replace(comparison, settings=comparison.settings | {"notes": list(REGRESSOR_NOTES)})
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in asdict(task).items()}
    record = qperov.records.write_record(
        next_run(task.out), comparison, task={"command": command, **settings}, dataset=dataset.about, studies=studies,
        compositions=formulas_of(dataset.structures),
    )  # fmt: skip
    shutil.rmtree(unfinished, ignore_errors=True)
    write_samples(generation, record.path / "generated", task.dft)
    page = qperov.reports.build_report(record)
    print(f"report: {page}")
    return page


def held_out_facts(parts: Split, judges: Mapping[str, Pipeline]) -> HeldOut:
    """What is known of the crystals held out without any generator."""
    training, held = parts.training, parts.held
    by_size = sorted(training.structures, key=lambda structure: structure.volume / len(structure))
    typical = [by_size[len(by_size) // 2]] * len(held)
    constant = {CONSTANT: np.full(len(held), training.y.mean())}
    return HeldOut(
        held.y,
        parts.held_groups,
        len(training),
        reconstruction_errors(held.structures, typical),
        constant | {name: model.predict(held.structures) for name, model in judges.items()},
    )


def generators(task: Task, parts: Split, target: Target) -> tuple[dict[str, TrainedGenerator], list[Sample]]:
    """Models trained and measured on the crystals held out, and what was sampled from them."""
    trained: dict[str, TrainedGenerator] = {}
    samples: list[Sample] = []
    for name, model in presets(task, target.threshold).items():
        ready, seconds = trained_model(task, name, model, parts.training)
        errors = reconstruction_errors(parts.held.structures, ready.reconstruct(parts.held.structures))
        print(f"{name}, held out: {', '.join(f'{key} {value:.3g}' for key, value in errors.mean().items())}")
        points = embed(ready.latent_, seed=task.seed)
        trained[name] = TrainedGenerator(ready.history_, seconds, errors, ready.predict(parts.held.structures), points)
        samples += sampled(name, ready, target.value, task.count, task.seed)
    return trained, samples


def generated(task: Task, parts: Split, samples: Sequence[Sample], judge: Pipeline) -> Generation:
    """Samples of models and baselines judged, with their predicted property, and relaxed if that was asked for."""
    training, held = parts.training, parts.held
    report = judged(samples, training.structures, dissimilarity=task.dissimilarity, jobs=task.jobs)
    print(report.summary())
    generation = Generation(
        tuple(with_property(sample, report, judge) for sample in samples),
        report,
        training.y,
        frozenset(formulas_of(held.structures)),
        JUDGE,
        float(np.abs(judge.predict(held.structures) - held.y).mean()),
        notes=NOTES,
    )
    if not task.relax:
        return generation
    known = embedded_perovskite_set(task.data).elements if task.data == WITH_REFERENCES else {}
    elements = {name: reference.energy for name, reference in known.items()}
    store = task.out / "relaxations.db"
    found = relaxed(generation, store, most=task.most_relaxed, elements=elements, jobs=task.jobs)
    return replace(generation, relaxed=found)


def next_run(out: Path) -> Path:
    """The first of ``out/run-1``, ``out/run-2``, … that is not there."""
    number = 1
    while (out / f"run-{number}").exists():
        number += 1
    return out / f"run-{number}"


def parsed(arguments: Sequence[str]) -> Task:
    """Settings from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Task.out)
    parser.add_argument("--data", default=Task.data, help="abx3, abx3_radii, or a folder or file of crystals")
    parser.add_argument("--labels", help="table of labels, for crystals from files")
    parser.add_argument("--target", help="column of the labels")
    parser.add_argument("--unit", help="unit of that column, such as eV/atom; deduced where possible")
    parser.add_argument("--models", default=",".join(Task.models), help="separated by commas: ftcp, tlvae, imatgen")
    parser.add_argument("--quick", action="store_true", help="small networks, three epochs")
    for number in ("target-value", "tolerance", "threshold"):
        parser.add_argument(f"--{number}", type=float, help="in the unit of the property")
    parser.add_argument("--count", type=int, default=Task.count, help="crystals of each model in each way")
    parser.add_argument("--test-size", type=float, default=Task.test_size, help="share of the formulas held out")
    parser.add_argument("--most", type=int, help="crystals taken of the data")
    parser.add_argument("--no-dissimilarity", dest="dissimilarity", action="store_false", help="a shorter bench")
    parser.add_argument("--relax", action="store_true", help="relax by CHGNet; needs pip install 'qperov[potentials]'")
    parser.add_argument("--most-relaxed", type=int, default=Task.most_relaxed, help="crystals of each sample")
    parser.add_argument("--dft", default=Task.dft, help="preset of the DFT inputs")
    parser.add_argument("--jobs", type=int, default=Task.jobs, help="processes, -1 for all cores")
    parser.add_argument("--device", default=Task.device, help="cpu, cuda, …")
    parser.add_argument("--seed", type=int, default=Task.seed)
    given = vars(parser.parse_args(arguments))
    given["models"] = tuple(name.strip() for name in given["models"].split(",") if name.strip())
    return Task(**given)


if __name__ == "__main__":
    main(parsed(sys.argv[1:]), shlex.join(["python", "experiments/inverse_design.py", *sys.argv[1:]]))
