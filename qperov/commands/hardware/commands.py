"""``qperov hardware plan | submit | status | collect | resume | cancel``.

This package knows neither crystals nor kernels; what the commands need of them is handed in as a `Toolbox`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy as np
    from qperov_circuits import Gate

    from qperov.hardware.jobs.ledger import Ledger
    from qperov.hardware.plan.pairs import Pairs
    from qperov.hardware.plan.plan import Plan
    from qperov.hardware.services.service import Service

KERNELS = ("fidelity", "projected", "autoencoder")

LedgerPath = Annotated[Path, typer.Option("--ledger", help="File that every step is written into.")]
PlanArgument = Annotated[str, typer.Argument(metavar="PLAN", help="A plan file, or the id of a plan in the ledger.")]
DEFAULT_LEDGER = Path("qperov-hardware.db")


@dataclass(frozen=True)
class Toolbox:
    """What the commands need from the rest of qperov.

    Attributes
    ----------
    dataset : callable
        From the name of a dataset, the number of samples or None, the number of components or None, and a seed, to
        features of shape (n_samples, n_features), not yet multiplied by the bandwidth, and labels or None.
    encoder : callable
        From the file of a trained autoencoder and vectors of shape (n_samples, n_features) to its gates, the number of
        code qubits, and the amplitudes, shape (n_samples, 2**n_qubits).
    repair : callable
        From a measured square kernel matrix, its number of qubits, and whether its diagonal was measured, to repaired
        matrices by the name of the repair.
    score : callable
        From a square kernel matrix and labels to the cross-validated R² of a support vector regression.
    """

    dataset: Callable[[str, int | None, int | None, int], tuple[np.ndarray, np.ndarray | None]]
    encoder: Callable[[Path, np.ndarray], tuple[Sequence[Gate], int, np.ndarray]]
    repair: Callable[[np.ndarray, int, bool], dict[str, np.ndarray]]
    score: Callable[[np.ndarray, np.ndarray], float]


def hardware_app(toolbox: Callable[[], Toolbox]) -> typer.Typer:
    """The commands as one group.

    Parameters
    ----------
    toolbox : callable
        Gives the toolbox when a command needs it.
    """
    app = typer.Typer(help="Quantum machines: the price first, then jobs that are neither lost nor sent twice.")

    @app.callback(invoke_without_command=True)
    def _main(context: typer.Context) -> None:
        context.obj = toolbox
        if context.invoked_subcommand is None:
            _tell_state(context)

    for command in (plan, submit, status, collect, resume, cancel):
        app.command()(command)
    return app


def plan(
    context: typer.Context,
    features: Annotated[
        str, typer.Argument(help="Table of features (.npy, .csv, .parquet), one row a sample; or a dataset's name.")
    ],
    backend: Annotated[str, typer.Option(help="A machine at IBM (ibm_fez), or aer, fake_fez, fake_manila, ….")],
    kernel: Annotated[str, typer.Option(help="fidelity, projected or autoencoder.")] = "fidelity",
    feature_map: Annotated[str, typer.Option(help="Name of the feature map.")] = "zz",
    reps: Annotated[int, typer.Option(help="Repetitions of the feature map.", min=1)] = 2,
    entanglement: Annotated[str, typer.Option(help="Pairs that the feature map entangles.")] = "linear",
    bandwidth: Annotated[float, typer.Option(help="Factor on the features.")] = 0.1,
    n_qubits: Annotated[int | None, typer.Option(help="Qubits, if fewer than the features would take.", min=1)] = None,
    columns: Annotated[
        Path | None, typer.Option(help="Table of other samples: K(columns, features) is measured.")
    ] = None,
    landmarks: Annotated[
        int | None, typer.Option(help="Nyström: as many samples, drawn by the seed, make the columns.", min=1)
    ] = None,
    diagonal: Annotated[
        bool, typer.Option("--diagonal", help="Measure each sample with itself too, which shows the noise.")
    ] = False,
    encoder: Annotated[Path | None, typer.Option(help="File of a trained autoencoder.")] = None,
    labels: Annotated[
        str | None, typer.Option(help="Table with one column, or name of a column of the features' table.")
    ] = None,
    samples: Annotated[int | None, typer.Option(help="Crystals drawn from a named dataset.", min=2)] = None,
    components: Annotated[int | None, typer.Option(help="Components kept of a named dataset.", min=1)] = None,
    shots: Annotated[int, typer.Option(help="Runs of each circuit.", min=1)] = 1024,
    budget_seconds: Annotated[
        float | None, typer.Option(help="Refuse a plan that takes longer on the machine; jobs are stopped there.")
    ] = None,
    noise: Annotated[float | None, typer.Option(help="Depolarising noise of aer.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of simulated shots and of all that is drawn.", min=0)] = 0,
    optimization_level: Annotated[int, typer.Option(help="Of the transpiler.", min=0, max=3)] = 3,
    transpiler_seed: Annotated[int, typer.Option(help="First seed of the transpiler.", min=0)] = 0,
    layout_trials: Annotated[int, typer.Option(help="Layouts compared by the machine's error rates.", min=1)] = 4,
    layout: Annotated[str | None, typer.Option(help="Physical qubits instead, separated by commas.")] = None,
    decoupling: Annotated[str, typer.Option(help="Dynamical decoupling: XX, XpXm, XY4 or none.")] = "XpXm",
    twirling: Annotated[bool, typer.Option(help="Pauli twirling of gates and measurements.")] = True,
    readout: Annotated[bool, typer.Option(help="Measure the readout errors in each job, and undo them.")] = True,
    session: Annotated[bool, typer.Option("--session", help="Open a session, which is paid as long as it is.")] = False,
    label: Annotated[str, typer.Option(help="A name that makes a repetition of the same plan a new one.")] = "",
    out: Annotated[Path, typer.Option(help="The plan file.")] = Path("plan.json"),
) -> None:
    """Compile, price and write down what is to be run; nothing is submitted.

    \b
    qperov hardware plan features.npy --backend ibm_fez --kernel projected --budget-seconds 120
    qperov hardware submit plan.json
    qperov hardware collect plan.json --out kernel.npy
    """
    from contextlib import closing
    from dataclasses import replace

    import numpy as np

    from qperov.commands.hardware.showing import described
    from qperov.commands.hardware.tables import read_table
    from qperov.hardware.jobs.backend import Backend, open_service
    from qperov.hardware.plan import pairs as forms
    from qperov.hardware.plan.options import Options
    from qperov.hardware.plan.plan import Settings
    from qperov.hardware.plan.planning import plan_autoencoder, plan_bloch, plan_fidelities
    from qperov.hardware.services.credentials import check_installed

    if kernel not in KERNELS:
        raise typer.BadParameter(f"one of {', '.join(KERNELS)}", param_hint="--kernel")
    if columns is not None and landmarks is not None:
        raise typer.BadParameter("columns and landmarks exclude each other", param_hint="--columns")
    if (kernel == "autoencoder") != (encoder is not None):
        raise typer.BadParameter("--kernel autoencoder and --encoder FILE go together", param_hint="--encoder")
    check_installed()
    x, y = _features(context, features, labels, samples, components, seed)
    options = Options(
        optimization_level,
        transpiler_seed,
        layout_trials,
        None if layout is None else tuple(int(qubit) for qubit in layout.split(",")),
        None if decoupling == "none" else decoupling,
        twirling,
        twirling,
        readout,
        "session" if session else "auto",
    )
    settings = Settings(shots, options, budget_seconds, label)
    target = Backend(backend, noise=noise, seed=seed).target()
    with closing(open_service(target)) as service:
        if encoder is not None:
            gates, code_qubits, vectors = context.obj().encoder(encoder, x)
            made = plan_autoencoder(gates, vectors, code_qubits, service, target, settings)
        else:
            pairs: Pairs
            if columns is not None:
                others = read_table(columns)[0]
                if others.shape[1:] != x.shape[1:]:
                    raise ValueError(f"{columns} has {others.shape[1]} features, {features} has {x.shape[1]}")
                pairs = forms.rectangular(len(others), len(x))
                x = np.concatenate([others, x])
            elif landmarks is not None:
                drawn = np.random.default_rng(seed).permutation(len(x))[:landmarks]
                pairs = forms.nystroem(len(x), np.sort(drawn), diagonal)
            else:
                pairs = forms.full(len(x), diagonal)
            circuit = _circuit(feature_map, reps, entanglement, n_qubits)
            if kernel == "fidelity":
                made = plan_fidelities(circuit, bandwidth * x, pairs, service, target, settings)
            else:
                made = plan_bloch(circuit, bandwidth * x, service, target, settings, pairs)
    made = replace(made, labels=y)
    made.write(out)
    typer.echo(described(made))
    typer.echo(f"wrote {out}; nothing was submitted: qperov hardware submit {out}")


def submit(plan: PlanArgument, ledger: LedgerPath = DEFAULT_LEDGER) -> None:
    """Send the jobs of a plan; what was sent before is not sent again."""
    from qperov.commands.hardware.showing import show
    from qperov.hardware.jobs import jobs

    with _opened(plan, ledger) as (found, service, book):
        show(jobs.submit(found, service, book))
        elsewhere = "" if ledger == DEFAULT_LEDGER else f" --ledger {ledger}"
        typer.echo(f"recorded in {ledger}: qperov hardware collect {found.plan_id}{elsewhere}")


def status(plan: PlanArgument, ledger: LedgerPath = DEFAULT_LEDGER) -> None:
    """Tell where each job stands."""
    from qperov.commands.hardware.showing import show
    from qperov.hardware.jobs import jobs

    with _opened(plan, ledger) as (found, service, book):
        book.add(found)
        show(jobs.status(found, service, book))


def resume(
    plan: PlanArgument,
    failed: Annotated[
        bool, typer.Option("--failed", help="Send again what failed, was cancelled or lost; it may cost again.")
    ] = False,
    ledger: LedgerPath = DEFAULT_LEDGER,
) -> None:
    """Go on after an interruption: find what was sent and not recorded, send what was not sent."""
    from qperov.commands.hardware.showing import show
    from qperov.hardware.jobs import jobs

    with _opened(plan, ledger) as (found, service, book):
        show(jobs.resume(found, service, book, failed))


def cancel(plan: PlanArgument, ledger: LedgerPath = DEFAULT_LEDGER) -> None:
    """Stop all jobs of a plan that have not ended."""
    from qperov.commands.hardware.showing import show
    from qperov.hardware.jobs import jobs

    with _opened(plan, ledger) as (found, service, book):
        show(jobs.cancel(found, service, book))


def collect(
    context: typer.Context,
    plan: PlanArgument,
    out: Annotated[Path | None, typer.Option(help="File for the matrix or table: .npy, .csv or .parquet.")] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for jobs that are not done.", min=0)] = 0.0,
    gamma: Annotated[float, typer.Option(help="Of a projected kernel.")] = 1.0,
    raw: Annotated[bool, typer.Option("--raw", help="Write the matrix without correction of the readout.")] = False,
    repair: Annotated[
        str | None, typer.Option(help="Write the matrix after one of the repairs that are listed.")
    ] = None,
    ledger: LedgerPath = DEFAULT_LEDGER,
) -> None:
    """Fetch what is done; show what each correction changes, and what a regression makes of it.

    A matrix with entries that have not come is written with NaN in their places.
    """
    from qperov.commands.hardware.showing import compare, corrected, show_losses, show_missing, show_states
    from qperov.commands.hardware.tables import write_table
    from qperov.hardware.jobs import jobs

    with _opened(plan, ledger) as (found, service, book):
        collected = jobs.collect(found, service, book, wait)
    show_states(collected)
    if found.kind == "autoencoder":
        show_losses(collected)
        write_table(collected.values(not raw), out)
        return
    K = collected.matrix(not raw, gamma)
    if not collected.complete:
        show_missing(collected)
        write_table(K, out)
        return
    if repair is None:
        # whatever becomes of the comparison
        write_table(K, out)
    toolbox = context.obj()
    matrices = corrected(toolbox.repair, collected, gamma)
    compare(toolbox.score, collected, matrices)
    if repair is not None:
        if repair not in matrices:
            raise typer.BadParameter(f"one of {', '.join(matrices)}", param_hint="--repair")
        write_table(matrices[repair], out)


# --- inside -------------------------------------------------------------------------------------


def _tell_state(context: typer.Context) -> None:
    """What is missing, in one line; the help if nothing is."""
    from qperov.errors import AccountError
    from qperov.hardware.services.credentials import check_account, check_installed

    check_installed()
    try:
        check_account()
    except AccountError as error:
        typer.echo(f"{error}; qperov hardware --help")
        return
    typer.echo(context.get_help())


@contextmanager
def _opened(plan: str, ledger: Path) -> Iterator[tuple[Plan, Service, Ledger]]:
    """The plan of a file or of the ledger, its service, and the ledger."""
    from contextlib import closing

    from qperov.errors import HardwareError
    from qperov.hardware.jobs.backend import open_service
    from qperov.hardware.jobs.ledger import Ledger
    from qperov.hardware.plan.plan import read_plan
    from qperov.hardware.services.credentials import check_installed

    check_installed()
    is_file = Path(plan).exists()
    if not is_file and not ledger.exists():
        raise HardwareError(f"{plan} is no plan file, and there is no ledger {ledger} to look it up in")
    with Ledger(ledger) as book:
        found = read_plan(plan) if is_file else book.plan(plan)
        with closing(open_service(found.target, ledger)) as service:
            yield found, service, book


def _circuit(name: str, reps: int, entanglement: str, n_qubits: int | None) -> Callable[[Sequence[Any]], list[Gate]]:
    from qperov_circuits import feature_map

    found = feature_map(name)
    return lambda angles: list(found.gates(angles, reps, entanglement, n_qubits))


def _features(
    context: typer.Context,
    features: str,
    labels: str | None,
    samples: int | None,
    components: int | None,
    seed: int,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Features and labels, from tables or from a dataset by name."""
    import numpy as np

    from qperov.commands.hardware.tables import ENDINGS, read_table

    if not Path(features).exists():
        if Path(features).suffix in ENDINGS:
            raise typer.BadParameter(f"there is no file {features}", param_hint="FEATURES")
        x, y = context.obj().dataset(features, samples, components, seed)
        if labels is None:
            return x, y
    else:
        column = labels if labels is not None and not Path(labels).exists() else None
        x, y = read_table(Path(features), column)
    if labels is not None and y is None:
        y = read_table(Path(labels))[0]
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
    if y is not None and y.shape != (len(x),):
        raise ValueError(f"{len(x)} samples and labels of shape {y.shape} do not fit together")
    if y is not None and not np.isfinite(y).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(y))} labels are missing or not finite")
    return x, y
