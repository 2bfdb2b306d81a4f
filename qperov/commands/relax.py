"""``qperov relax`` and ``qperov inputs``: energies without a cluster, and the inputs for one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qperov.commands import screen
from qperov.commands.datasets import load
from qperov.commands.options import DEFAULT_STORE, Source, StorePath, check_store, checking

if TYPE_CHECKING:
    from qperov.potentials.label_factory import FactoryReport

#: Failures that are shown on the screen unless all are asked for.
FEW_FAILURES = 10

DatasetArgument = Annotated[
    str, typer.Argument(help="A dataset of the store, one that comes with qperov, or a file or folder of crystals.")
]


@screen.resumable("the same command goes on with the crystals that are left")
def relax(
    dataset: DatasetArgument,
    protocol: Annotated[
        str, typer.Option(help="plain, symmetric, tilted, rattled, static, or a JSON file with settings.")
    ] = "plain",
    potential: Annotated[
        str | None,
        typer.Option(help="Instead of the protocol's: chgnet, module:factory, or a calculator that ASE knows by name."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the store calls the relaxed dataset.")] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Processes; −1 for all cores.")] = 1,
    batch: Annotated[int, typer.Option(help="Crystals that a process relaxes side by side (GPU).", min=1)] = 1,
    retry: Annotated[bool, typer.Option("--retry", help="Also what failed or did not converge before.")] = False,
    every_failure: Annotated[bool, typer.Option("--all", help="Print every failure.")] = False,
    store: StorePath = DEFAULT_STORE,
) -> None:
    """Relax the crystals of a dataset with an interatomic potential, and store them with their energies.

    It may be stopped or killed at any moment: the same command goes on where it stopped. By default the
    potential is CHGNet, which is machine-learned and no DFT; the labels say so.

    \b
    qperov data import crystals/ --name mine
    qperov relax mine --protocol tilted --jobs 4
    qperov compare mine-tilted
    """
    from qperov.datasets.names import check_name
    from qperov.datasets.store import Store
    from qperov.potentials.label_factory import label_dataset, relaxed_dataset
    from qperov.potentials.protocols import named_protocol

    with checking("--protocol"):
        chosen = named_protocol(protocol)
    if potential is not None:
        chosen = replace(chosen, potential=potential)
    check_store(store)
    source = _stored(dataset, store)
    name = check_name(name or f"{source}-{Path(protocol).stem}")
    with screen.bar("Relaxing") as advance, checking("--potential"):
        report = label_dataset(store, source, chosen, n_jobs=jobs, batch=batch, retry=retry, progress=advance)
    _tell(report, every_failure)
    if not report.counts.converged:
        raise typer.Exit(1)
    relaxed = relaxed_dataset(store, source, report, name)
    with Store(store) as opened:
        opened.add(relaxed)
    screen.echo(f"{store}: dataset {relaxed.name!r} holds the {len(relaxed)} relaxed crystals with their energies")


@screen.resumable("the same command writes those that are not there")
def inputs(
    dataset: DatasetArgument,
    out: Annotated[Path, typer.Argument(help="Folder that receives one folder a crystal, and the job array.")],
    preset: Annotated[
        str,
        typer.Option(
            help="Settings of the papers. VASP: cpx, cpx-slab, sfm, matganip, imatgen, imatgen-refined; "
            "Quantum ESPRESSO: tl-vae, cpx-espresso."
        ),
    ] = "cpx",
    store: StorePath = DEFAULT_STORE,
) -> None:
    """Write VASP or Quantum ESPRESSO inputs for a dataset, with a job-array script; pseudopotentials stay yours.

    \b
    qperov inputs mine runs/ --preset cpx
    cd runs && sbatch job-array.sh
    qperov compare runs/ --target energy_per_atom
    """
    from qperov.crystals.dft.inputs import write_calculations
    from qperov.crystals.dft.presets import PRESETS

    crystals = load(Source(Path(dataset)), store)
    with checking("--preset"):
        written = write_calculations(crystals.structures, crystals.ids, out, preset)
    screen.echo(f"{len(written.runs)} runs in {written.folder}, settings: {PRESETS[preset].source}")
    screen.echo(f"start them with: cd {written.folder} && sbatch {written.script.name}")


def _stored(name: str, store: Path) -> str:
    """The name of the dataset in the store, which is put there if it is not."""
    from qperov.datasets.store import Store

    if store.exists():
        with Store(store) as opened:
            if name in opened.names():
                return name
    crystals = load(Source(Path(name)), store)
    with Store(store) as opened:
        opened.add(crystals)
    return crystals.name


def _tell(report: FactoryReport, every_failure: bool) -> None:
    found = report.counts
    screen.echo(
        f"{found.converged} converged, {found.unconverged} did not within the steps, {found.failed} failed "
        f"(protocol {report.protocol_id})"
    )
    screen.echo(f"labels: {report.provenance}")
    shown = report.failures if every_failure else report.failures[:FEW_FAILURES]
    for failure in shown:
        screen.echo(f"{failure.id}: {failure.kind}: {failure.reason}", err=True)
    if len(shown) < len(report.failures):
        screen.echo(f"and {len(report.failures) - len(shown)} more: --all prints them, --retry tries again", err=True)
