"""Make the embedded dataset abx3: charge-balanced ABX₃ compositions relaxed by CHGNet, with formation energies.

    nice python experiments/make_abx3.py

Every composition starts as a cubic cell from ionic radii, every atom rattled, so that what is unstable against a
distortion within five atoms may distort. The elements are relaxed by the same potential. All work is kept in a store;
killed, it goes on where it stopped. What fails or does not converge goes into the file by name.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
from element_phases import element_phase
from make_cpx222 import Task as FactoryTask
from make_cpx222 import relaxed_by

from qperov.crystals.perovskites.cells import perovskite_compositions
from qperov.datasets.dataset import CrystalDataset
from qperov.datasets.embedded.abx3 import (
    ElementReference,
    PerovskiteSet,
    RelaxedPerovskite,
    read_perovskite_set,
    write_perovskite_set,
)
from qperov.datasets.embedded.abx3_radii import perovskite_id, radius_set
from qperov.datasets.store import Store
from qperov.potentials.label_factory import FactoryReport
from qperov.potentials.protocols import Protocol
from qperov.potentials.queue import RelaxationFailure, RelaxationStates

NAME = "abx3"
CAUTIONS = (
    "The energies are CHGNet's, a machine-learned potential trained on PBE and PBE+U energies with the corrections of "
    "the Materials Project, not DFT; formation energies refer to the elements as they are at low temperature, relaxed "
    "by CHGNet too. It exaggerates polar distortions: c/a of PbTiO3 is 1.32 here, 1.06 when measured.",
    "Each composition was relaxed once, from a rattled cubic cell of five atoms, without phonons: tilts of octahedra, "
    "which need larger cells, cannot appear, and another structure may lie far lower.",
    "These are compositions whose charges balance and whose radii fit; most were never made, and for unusual charges "
    "and for rare earths the potential has seen little. {octahedral} of {all} cells kept the octahedron about B, the "
    "others left the perovskite structure.",
)


@dataclass(frozen=True)
class Task:
    """Settings of the dataset.

    Attributes
    ----------
    store : Path
        SQLite store of all relaxations.
    out : Path
        The file that is shipped.
    protocol : Protocol
    continued : Protocol
        For what has not converged by the first one: from where it stopped.
    elements : Protocol
    jobs, batch : int
    """

    store: Path = Path("abx3.db")
    out: Path = Path("qperov/datasets/embedded/data/abx3.json.gz")
    protocol: Protocol = field(default_factory=lambda: Protocol(rattle=0.05, optimiser="BFGS", fmax=0.05, steps=100))
    continued: Protocol = field(default_factory=lambda: Protocol(optimiser="FIRE", fmax=0.05, steps=300))
    elements: Protocol = field(default_factory=lambda: Protocol(fmax=0.02, steps=300))
    jobs: int = 1
    batch: int = 32

    @property
    def factory(self) -> FactoryTask:
        """Where and how the relaxations are done."""
        return FactoryTask(store=self.store, jobs=self.jobs, batch=self.batch)


def starting_cells() -> CrystalDataset:
    """Cells from ionic radii, without a target."""
    return replace(radius_set(), name=f"{NAME}-start", y=None, target=None, unit=None, provenance=())


def ends(task: Task, dataset: str, report: FactoryReport) -> dict[str, RelaxedPerovskite]:
    """What the store holds of the relaxations that ended, by id."""
    sites = {perovskite_id(each): each for each in perovskite_compositions()}
    with Store(task.store) as store:
        found = RelaxationStates(store, dataset, report.protocol_id).ends()
    return {entry_id: RelaxedPerovskite(entry_id, sites[entry_id], **vars(end)) for entry_id, end in found.items()}


def relaxed_cells(
    task: Task, start: CrystalDataset
) -> tuple[dict[str, RelaxedPerovskite], list[RelaxationFailure], str]:
    """Relaxed cells by id, what failed altogether, and what the labels say of themselves."""
    report = relaxed_by(task.factory, start, task.protocol)
    found = ends(task, start.name, report)
    failures = [failure for failure in report.failures if failure.kind != "Unconverged"]
    rest = [each for each in found.values() if not each.converged]
    if rest:
        second = CrystalDataset(
            name=f"{NAME}-continued",
            structures=tuple(each.structure for each in rest),
            ids=tuple(each.id for each in rest),
            known_groups=np.arange(len(rest)),
        )
        continued = relaxed_by(task.factory, second, task.continued)
        for each in ends(task, second.name, continued).values():
            found[each.id] = replace(each, steps=each.steps + found[each.id].steps)
        failures += [failure for failure in continued.failures if failure.kind != "Unconverged"]
        for failure in failures:
            found.pop(failure.id, None)
    words = f"; what had not converged, {len(rest)} cells, went on by {task.continued.describe()}" if rest else ""
    return found, failures, report.provenance + words


def element_references(task: Task, symbols: list[str]) -> dict[str, ElementReference]:
    """Energies of the elements, eV per atom, by the same potential."""
    phases = {symbol: element_phase(symbol) for symbol in symbols}
    crystals = CrystalDataset(
        name=f"{NAME}-elements",
        structures=tuple(cell for _, cell in phases.values()),
        ids=tuple(symbols),
        known_groups=np.arange(len(symbols)),
    )
    report = relaxed_by(task.factory, crystals, task.elements)
    assert not report.failures, report.failures
    with Store(task.store) as store:
        found = RelaxationStates(store, crystals.name, report.protocol_id).ends()
    return {symbol: ElementReference(name, found[symbol].energy / len(cell)) for symbol, (name, cell) in phases.items()}


def summary(relaxed: PerovskiteSet) -> str:
    """Formation energies and changes of the cell by anion."""
    lines = ["anion   cells   formation energy, eV/atom: mean, least, greatest   octahedra kept   cubic within 1 %, 1°"]
    energies = relaxed.formation_energies
    anions = [each.sites.x[0][0].symbol for each in relaxed.perovskites]
    cubic = np.array([is_cubic(each) for each in relaxed.perovskites])
    octahedral = np.array([each.octahedral for each in relaxed.perovskites])
    for anion in dict.fromkeys(anions):
        part = np.array([name == anion for name in anions])
        values = energies[part]
        lines.append(
            f"{anion:5}   {part.sum():5d}   {values.mean():8.2f} {values.min():8.2f} {values.max():8.2f}"
            f"   {octahedral[part].sum():5d}   {cubic[part].sum():5d}"
        )
    converged = sum(each.converged for each in relaxed.perovskites)
    return "\n".join([*lines, f"{converged} converged of {len(energies)}; left out: {json.dumps(relaxed.failures)}"])


def is_cubic(each: RelaxedPerovskite) -> bool:
    """Whether edges agree within 1 % and angles are right within 1°."""
    lattice = each.structure.lattice
    return bool(np.ptp(lattice.abc) < 0.01 * np.mean(lattice.abc) and np.abs(np.array(lattice.angles) - 90).max() < 1)


def main(task: Task) -> None:
    """Relax, write the file, tell what is in it."""
    start = starting_cells()
    print(f"{len(start)} compositions")
    found, failures, words = relaxed_cells(task, start)
    symbols = sorted({element.symbol for cell in start.structures for element in cell.composition})
    references = element_references(task, symbols)
    cells = tuple(found[entry_id] for entry_id in start.ids if entry_id in found)
    kept = sum(each.octahedral for each in cells)
    relaxed = PerovskiteSet(
        name=NAME,
        perovskites=cells,
        elements=references,
        failures={failure.id: f"{failure.kind}: {failure.reason}" for failure in failures},
        provenance={
            "sentence": f"{words}; formation energy against the elements relaxed by the same potential",
            "cautions": [sentence.format(octahedral=kept, all=len(cells)) for sentence in CAUTIONS],
            "protocol": asdict(task.protocol),
            "continued": asdict(task.continued),
            "elements": asdict(task.elements),
            "potential": words.partition(":")[0],
            "versions": {name: version(name) for name in ("qperov", "chgnet", "torch", "ase", "numpy", "pymatgen")},
        },
    )
    task.out.parent.mkdir(parents=True, exist_ok=True)
    write_perovskite_set(relaxed, task.out)
    print(summary(read_perovskite_set(task.out)))
    print(f"{task.out}: {task.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for path in ("store", "out"):
        parser.add_argument(f"--{path}", type=Path, default=getattr(Task, path))
    for number in ("jobs", "batch"):
        parser.add_argument(f"--{number}", type=int, default=getattr(Task, number))
    main(Task(**vars(parser.parse_args())))
