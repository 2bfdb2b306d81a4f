"""Make the embedded dataset cpx222: orderings of CsPb(Br,I)₃ in the 2×2×2 cell, relaxed by CHGNet, energies of mixing.

    nice python experiments/make_cpx222.py --jobs 2
    nice python experiments/make_cpx222.py --check-cpx321 ../shared/data/cpx321

The first relaxes every ordering by one protocol from the same tilt and writes one file; killed, it goes on where it
stopped. Some orderings are relaxed with each of the three axes tilted in phase as well: equivalent starts, so that
their scatter is the noise of the labels, which the file states. The second compares the protocol with cpx321, whose
energies were computed by DFT. All work is kept in a store.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pymatgen.core import Lattice, Structure
from scipy.stats import pearsonr, spearmanr

import qperov
from qperov.crystals.orderings.enumeration import Ordering, count_orderings, orderings
from qperov.crystals.orderings.sampling import random_orderings
from qperov.datasets.dataset import CrystalDataset
from qperov.datasets.embedded.cpx222 import RelaxedOrdering, RelaxedSet, read_relaxed_set, write_relaxed_set
from qperov.datasets.store import Store
from qperov.potentials.label_factory import FactoryReport, label_dataset, relaxed_dataset
from qperov.potentials.protocols import Protocol
from qperov.potentials.queue import RelaxationStates

NAME = "cpx222"
#: Pseudo-cubic edges (Å) of the end members, between which the starting cells lie; the cell relaxes anyway.
EDGES = (5.96, 6.33)
#: X sites and formula units a cell.
SITES, UNITS = 24, 8
#: The same tilt with each axis in phase.
AXES = ("a-b+a-", "a+b-b-", "a-a-c+")
CAUTIONS = (
    "The energies are CHGNet's, a machine-learned potential trained on PBE energies of many compounds, not DFT: its "
    "errors are far above the differences between orderings of one composition.",
    "Against the PBE energies of 60 CsPb(Br2I) orderings in another cell, drawn from cpx321, CHGNet reads r = −0.07 "
    "unrelaxed, 0.58 relaxed with the symmetry kept and 0.53 relaxed freely: trust trends over composition, not the "
    "ranking of orderings.",
    "Every cell was relaxed from the tilt a⁻b⁺a⁻ into the nearest minimum, with one choice of the axis in phase for "
    "each ordering: the minimum of least energy may be another.",
)


@dataclass(frozen=True)
class Task:
    """Settings of the dataset and of its checks.

    Attributes
    ----------
    store : Path
        SQLite store of all relaxations.
    out : Path
        The file that is shipped.
    per_composition : int
        Orderings a composition, drawn with equal chances for each class; all where there are no more.
    complete : tuple of int
        Numbers of iodine atoms of which every ordering is taken.
    protocol : Protocol
    jobs, batch, seed : int
    check_axes : int
        Orderings that are relaxed with each of the three axes in phase; 0 for none.
    check_cpx321 : Path or None
        Folder with the published structures and energies.
    check_cells : int
        How many of them are relaxed.
    """

    store: Path = Path("cpx222.db")
    out: Path = Path("qperov/datasets/embedded/data/cpx222.json.gz")
    per_composition: int = 12
    complete: tuple[int, ...] = (5,)
    protocol: Protocol = field(default_factory=lambda: Protocol(tilt="a-b+a-", fmax=0.01, steps=1000))
    jobs: int = 1
    batch: int = 1
    seed: int = 0
    check_axes: int = 20
    check_cpx321: Path | None = None
    check_cells: int = 60


def cubic(edge: float, shape: tuple[int, int, int] = (2, 2, 2)) -> Structure:
    """Cubic CsPbBr₃, repeated."""
    unit = Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(edge), ["Cs", "Pb", "Br"], [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)]
    )
    cell = unit * shape
    return Structure(cell.lattice, cell.species, np.round(cell.frac_coords, 12) % 1.0)


def chosen_orderings(task: Task) -> list[tuple[str, Ordering]]:
    """Inequivalent orderings over all compositions, with their ids."""
    cell = cubic(EDGES[0])
    found = []
    for count in range(SITES + 1):
        there_are = count_orderings(cell, "Br", ("Br", "I"), count)
        if count in task.complete or there_are <= task.per_composition:
            chosen = orderings(cell, "Br", ("Br", "I"), count)
        else:
            chosen = random_orderings(
                cell, "Br", ("Br", "I"), count, task.per_composition, uniform_over="classes",
                random_state=task.seed + count,
            )  # fmt: skip
        found += [(f"{NAME}-I{count:02d}-{number:03d}", ordering) for number, ordering in enumerate(chosen)]
    return found


def starting_cells(chosen: Sequence[tuple[str, Ordering]]) -> CrystalDataset:
    """Undistorted orderings whose volume goes linearly with composition."""
    structures = []
    for _, ordering in chosen:
        share = len(ordering.occupied) / SITES
        edge = (1 - share) * EDGES[0] + share * EDGES[1]
        names = [site.species for site in ordering.structure]
        structures.append(Structure(Lattice.cubic(2 * edge), names, ordering.structure.frac_coords))
    return CrystalDataset(
        name=f"{NAME}-start",
        structures=tuple(structures),
        ids=tuple(entry_id for entry_id, _ in chosen),
        known_groups=np.arange(len(chosen)),
    )


def relaxed_by(task: Task, dataset: CrystalDataset, protocol: Protocol) -> FactoryReport:
    """The factory's work on a dataset, with its progress on the screen."""

    def tell(done: int, total: int | None, what: str) -> None:
        print(f"\r{dataset.name}: {done} of {total}, {what}   ", end="", flush=True)

    with Store(task.store) as store:
        store.add(dataset)
    report = label_dataset(task.store, dataset.name, protocol, n_jobs=task.jobs, batch=task.batch, progress=tell)
    print(f"\n{report.provenance}")
    for failure in report.failures:
        print(f"{failure.id}: {failure.kind}: {failure.reason}")
    return report


def collected(
    task: Task, chosen: Sequence[tuple[str, Ordering]], report: FactoryReport, noise: float | None
) -> RelaxedSet:
    """What the store holds of the orderings, as a set to ship."""
    by_id = dict(chosen)
    start = cubic(EDGES[0])
    relaxed = relaxed_dataset(task.store, f"{NAME}-start", report)
    assert relaxed.y is not None
    with Store(task.store) as store:
        ends = RelaxationStates(store, f"{NAME}-start", report.protocol_id).ends()
    return RelaxedSet(
        name=NAME,
        parent=start,
        sites=tuple(i for i, site in enumerate(start) if site.species_string == "Br"),
        species=("Br", "I"),
        end_members=("CsPbBr3", "CsPbI3"),
        orderings=tuple(
            RelaxedOrdering(
                id=entry_id,
                structure=structure,
                multiplicity=by_id[entry_id].multiplicity,
                energy=energy,
                greatest_force=ends[entry_id].greatest_force,
                greatest_stress=ends[entry_id].greatest_stress or 0.0,
                steps=ends[entry_id].steps,
                converged=True,
            )
            for entry_id, structure, energy in zip(relaxed.ids, relaxed.structures, relaxed.y.tolist(), strict=True)
        ),
        provenance={
            "sentence": f"{report.provenance}; energy of mixing against CsPbBr3 and CsPbI3 relaxed alike",
            "cautions": list(CAUTIONS),
            "protocol": asdict(task.protocol),
            "potential": report.provenance.partition(":")[0],
            "versions": {name: version(name) for name in ("qperov", "chgnet", "torch", "ase", "numpy", "pymatgen")},
            "starting_edges": dict(zip(("CsPbBr3", "CsPbI3"), EDGES, strict=True)),
            "seed": task.seed,
            "complete": list(task.complete),
            "label_noise": noise,
            "noise_measured_on": task.check_axes,
            "not_converged": [failure.id for failure in report.failures],
        },
    )


def summary(relaxed: RelaxedSet) -> str:
    """Energies of mixing by composition."""
    energies = 1000 * relaxed.mixing_energies
    counts = np.array([ordering.structure.composition["I"] for ordering in relaxed.orderings], dtype=int)
    lines = ["iodine of 24   orderings   energy of mixing, meV per formula unit: mean, least, greatest"]
    for count in np.unique(counts):
        part = energies[counts == count]
        lines.append(f"{count:12d}   {len(part):9d}   {part.mean():8.2f} {part.min():8.2f} {part.max():8.2f}")
    forces = max(ordering.greatest_force for ordering in relaxed.orderings)
    return "\n".join([*lines, f"{len(energies)} orderings, longest force left {forces:.4f} eV/Å"])


def label_noise(task: Task, dataset: CrystalDataset) -> float:
    """Scatter (meV per formula unit) of the energies that an ordering has with each of the axes tilted in phase.

    The three starts are the same crystal turned: their pooled standard deviation is noise of the protocol.
    """
    mixed = [i for i, s in enumerate(dataset.structures) if 0 < s.composition["I"] < SITES]
    rows = np.sort(np.random.default_rng(task.seed).choice(mixed, task.check_axes, replace=False))
    part = replace(dataset.take(rows), name=f"{NAME}-axes")
    energies = []
    for pattern in AXES:
        report = relaxed_by(task, part, replace(task.protocol, tilt=pattern))
        found = relaxed_dataset(task.store, part.name, report)
        assert found.y is not None
        energies.append(dict(zip(found.ids, (1000 * found.y / UNITS).tolist(), strict=True)))
    common = [entry_id for entry_id in part.ids if all(entry_id in found for found in energies)]
    table = np.array([[found[entry_id] for found in energies] for entry_id in common])
    noise = float(np.sqrt(table.var(axis=1, ddof=1).mean()))
    spread = table.max(axis=1) - table.min(axis=1)
    print(
        f"axis in phase, {len(common)} orderings: the three energies scatter by {noise:.2f} meV per formula unit, and "
        f"differ by {spread.mean():.2f} (mean), {spread.max():.2f} (greatest)"
    )
    return noise


def check_cpx321(task: Task, folder: Path) -> None:
    """Correlation with published PBE energies: unrelaxed, symmetry kept, and from the tilt in the doubled cell."""
    published = qperov.read(
        folder / "poscars.tar.gz",
        target="energy_ev_per_cell",
        labels=folder / "labels.csv",
        id_columns=["split", "flag"],
    ).one_per_class()
    assert published.y is not None
    rows = np.sort(np.random.default_rng(task.seed).choice(len(published), task.check_cells, replace=False))
    part = replace(published.take(rows), y=None, target=None, unit=None, provenance=(), name="cpx321-check")
    doubled = replace(part, structures=tuple(s * (2, 1, 2) for s in part.structures), name="cpx321-check-doubled")
    known = dict(zip(published.ids, published.y, strict=True))
    plain = replace(task.protocol, tilt=None)
    for words, cells, protocol in (
        ("unrelaxed", part, replace(plain, steps=0, cell="fixed")),
        ("symmetry kept", part, replace(plain, keep_symmetry=True)),
        ("relaxed freely from the cell as given", part, plain),
        (f"from {task.protocol.tilt} in the cell doubled along a and c", doubled, task.protocol),
    ):
        report = relaxed_by(task, cells, protocol)
        found = relaxed_dataset(task.store, cells.name, report)
        assert found.y is not None
        dft = np.array([known[i] for i in found.ids])
        pearson, rho = pearsonr(dft, found.y), spearmanr(dft, found.y)[0]
        low, high = pearson.confidence_interval()
        per_atom = 1000 * found.y / [len(s) for s in found.structures]
        print(
            f"cpx321, {words}: {len(dft)} cells, r = {pearson[0]:.2f} (95 %: {low:.2f} to {high:.2f}), ρ = {rho:.2f}, "
            f"spread {per_atom.std():.2f} meV/atom, of PBE {1000 * dft.std() / len(part.structures[0]):.2f}"
        )


def main(task: Task) -> None:
    """Relax, write the file and tell what is in it; or measure what the protocol is worth."""
    if task.check_cpx321 is not None:
        check_cpx321(task, task.check_cpx321)
        return
    chosen = chosen_orderings(task)
    dataset = starting_cells(chosen)
    print(f"{len(dataset)} orderings")
    report = relaxed_by(task, dataset, task.protocol)
    noise = label_noise(task, dataset) if task.check_axes else None
    task.out.parent.mkdir(parents=True, exist_ok=True)
    write_relaxed_set(collected(task, chosen, report, noise), task.out)
    print(summary(read_relaxed_set(task.out)))
    print(f"{task.out}: {task.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for path in ("store", "out"):
        parser.add_argument(f"--{path}", type=Path, default=getattr(Task, path))
    parser.add_argument("--check-cpx321", type=Path, help="Folder with poscars.tar.gz and labels.csv.")
    for number in ("per_composition", "jobs", "batch", "seed", "check_axes", "check_cells"):
        parser.add_argument(f"--{number.replace('_', '-')}", type=int, default=getattr(Task, number))
    parser.add_argument("--fmax", type=float, default=0.01, help="eV/Å")
    arguments = vars(parser.parse_args())
    settings = Protocol(tilt="a-b+a-", fmax=arguments.pop("fmax"), steps=1000)
    main(Task(protocol=settings, **arguments))
