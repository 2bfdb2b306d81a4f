"""``qperov hardware plan``: what a measurement would be, and what it would cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qperov.commands import screen
from qperov.commands.hardware.samples import SampleChoice
from qperov.commands.options import checking, with_values

if TYPE_CHECKING:
    from qperov.hardware.plan.plan import BackendSpec, Plan, Settings
    from qperov.hardware.plan.samples import Samples
    from qperov.hardware.services.service import Service

ServiceOption = Annotated[
    str, typer.Option("--service", help="Instead of IBM's: qiskit:module.factory, a function that gives a backend.")
]

KERNELS = ("fidelity", "projected", "autoencoder")


@dataclass(frozen=True)
class KernelChoice:
    """What is measured."""

    kernel: Annotated[str, typer.Option(help="fidelity, projected or autoencoder.")] = "fidelity"
    feature_map: Annotated[str, typer.Option(help="Name of the feature map.")] = "zz"
    reps: Annotated[int, typer.Option(help="Repetitions of the feature map.", min=1)] = 2
    entanglement: Annotated[str, typer.Option(help="Pairs that the feature map entangles.")] = "linear"
    bandwidth: Annotated[float, typer.Option(help="Factor on the features, positive.")] = 0.1
    n_qubits: Annotated[int | None, typer.Option(help="Qubits, if fewer than the features would take.", min=1)] = None
    encoder: Annotated[Path | None, typer.Option(help="File of a trained autoencoder.")] = None
    landmarks: Annotated[
        int | None, typer.Option(help="Nyström: as many samples, drawn by the seed, make the columns.", min=1)
    ] = None
    diagonal: Annotated[
        bool, typer.Option("--diagonal", help="Measure each sample with itself too, which shows the noise.")
    ] = False

    def check(self) -> None:
        """Raise BadParameter for what cannot be measured."""
        if self.kernel not in KERNELS:
            raise typer.BadParameter(f"one of {', '.join(KERNELS)}", param_hint="--kernel")
        if (self.kernel == "autoencoder") != (self.encoder is not None):
            raise typer.BadParameter("--kernel autoencoder and --encoder FILE go together", param_hint="--encoder")
        if not (self.bandwidth > 0 and math.isfinite(self.bandwidth)):
            raise typer.BadParameter(f"a positive number, not {self.bandwidth:g}", param_hint="--bandwidth")

    def arguments(self) -> dict[str, Any]:
        """Arguments of the kernel's class, but gamma, which is chosen when the results are collected."""
        return {name: getattr(self, name) for name in ("feature_map", "reps", "entanglement", "n_qubits", "bandwidth")}


@dataclass(frozen=True)
class RunChoice:
    """Where and how it is run."""

    backend: Annotated[
        str | None, typer.Option(help="A backend at IBM (ibm_fez), or aer, fake_fez, fake_manila, ….")
    ] = None
    service: ServiceOption = ""
    noise: Annotated[float | None, typer.Option(help="Depolarising noise of aer.")] = None
    shots: Annotated[int, typer.Option(help="Runs of each circuit.", min=1)] = 1024
    budget_seconds: Annotated[
        float | None, typer.Option(help="Refuse a plan that takes more QPU time; jobs are stopped there.")
    ] = None
    price: Annotated[
        str | None, typer.Option(help="Fees of the service for a circuit and for a shot, as 0.30,0.00145.")
    ] = None
    budget_fees: Annotated[float | None, typer.Option(help="Refuse a plan with higher fees.")] = None
    budget_shots: Annotated[int | None, typer.Option(help="Refuse a plan with more shots, all circuits together.")] = (
        None
    )
    optimization_level: Annotated[int, typer.Option(help="Of the transpiler.", min=0, max=3)] = 3
    transpiler_seed: Annotated[int, typer.Option(help="First seed of the transpiler.", min=0)] = 0
    layout_trials: Annotated[int, typer.Option(help="Layouts compared by the backend's error rates.", min=1)] = 4
    layout: Annotated[str | None, typer.Option(help="Physical qubits instead, separated by commas.")] = None
    decoupling: Annotated[str, typer.Option(help="Dynamical decoupling: XX, XpXm, XY4 or none.")] = "XpXm"
    twirling: Annotated[bool, typer.Option(help="Pauli twirling of gates and measurements.")] = True
    readout: Annotated[bool, typer.Option(help="Measure the readout errors in each job, and undo them.")] = True
    neighbours: Annotated[
        bool,
        typer.Option("--neighbours", help="Measure also what neighbours misread together: twice the circuits for it."),
    ] = False
    fractional: Annotated[
        bool, typer.Option("--fractional", help="Compile to IBM's gates of any angle, Rx and Rzz.")
    ] = False
    session: Annotated[bool, typer.Option("--session", help="Open a session, which is paid as long as it is.")] = False
    label: Annotated[str, typer.Option(help="A name that makes a repetition of the same plan a new one.")] = ""

    def spec(self, seed: int) -> BackendSpec:
        """The backend that is named, here or by the service."""
        from dataclasses import replace

        from qperov.hardware.jobs.backend import Backend
        from qperov.hardware.plan.plan import PREFIX, BackendSpec
        from qperov.hardware.services.qiskit_backend import QiskitService

        if (self.backend is None) == (self.service == ""):
            raise typer.BadParameter("name one of --backend and --service", param_hint="--backend")
        if self.backend is not None:
            if self.price is not None or self.budget_fees is not None:
                raise typer.BadParameter("IBM charges seconds: --budget-seconds", param_hint="--price/--budget-fees")
            found = Backend(self.backend, noise=self.noise, random_state=seed).spec()
            return replace(found, fractional_gates=self.fractional)
        if not self.service.startswith(PREFIX) or "." not in self.service:
            raise typer.BadParameter(f"{PREFIX}module.factory, not {self.service!r}", param_hint="--service")
        if self.noise is not None or self.budget_seconds is not None:
            raise typer.BadParameter(
                "noise is for aer, a budget in seconds for IBM; here it is --budget-fees", param_hint="--service"
            )
        return BackendSpec(QiskitService(self.service).backend(0).name or "unnamed", None, None, self.service)

    def settings(self) -> Settings:
        """The settings of a plan."""
        from qperov.hardware.plan.options import Options
        from qperov.hardware.plan.plan import Settings
        from qperov.hardware.plan.prices import Budget, Price

        with checking("--layout"):
            layout = None if self.layout is None else tuple(int(qubit) for qubit in self.layout.split(","))
        with checking("--layout/--decoupling"):
            options = Options(
                optimization_level=self.optimization_level,
                transpiler_seed=self.transpiler_seed,
                layout_trials=self.layout_trials,
                layout=layout,
                dynamical_decoupling=None if self.decoupling == "none" else self.decoupling,
                twirl_gates=self.twirling,
                twirl_measurement=self.twirling,
                readout_mitigation="neighbours" if self.readout and self.neighbours else self.readout,
                mode="session" if self.session else "auto",
            )
        with checking("--price"):
            fees = None if self.price is None else [float(fee) for fee in self.price.split(",", 1)]
            price = None if fees is None else Price(fees[0], fees[-1] if len(fees) > 1 else 0.0)
        with checking("--budget-seconds/--budget-fees/--budget-shots"):
            budget = Budget(self.budget_fees, self.budget_shots)
            return Settings(self.shots, options, self.budget_seconds, self.label, price, budget)


@screen.resumable("no plan was written and nothing was sent: the same command starts again")
@with_values
def plan(
    chosen: SampleChoice,
    kernel: KernelChoice,
    run: RunChoice,
    out: Annotated[Path, typer.Option(help="The plan file.")] = Path("plan.json"),
) -> None:
    """Compile, price and write down what is to be run; nothing is submitted.

    \b
    qperov hardware plan features.csv --id-column id --backend ibm_fez --kernel projected --budget-seconds 120
    qperov hardware submit plan.json
    qperov hardware collect plan.json --out kernel.csv
    """
    from contextlib import closing
    from dataclasses import replace

    from qperov.commands.hardware.display import describe_plan, show_agreements
    from qperov.commands.hardware.samples import read_samples
    from qperov.hardware.jobs.backend import open_service
    from qperov.hardware.plan.plan_file import write_plan
    from qperov.hardware.services.credentials import check_installed
    from qperov.hardware.verification.exact import exact_values, has_exact_values, is_quick
    from qperov.hardware.verification.verification import predicted_agreements

    kernel.check()
    if chosen.columns is not None and kernel.landmarks is not None:
        raise typer.BadParameter("columns and landmarks exclude each other", param_hint="--columns")
    check_installed(run.service)
    samples, n_rows = read_samples(chosen)
    samples = replace(samples, kernel={"kernel": kernel.kernel} | kernel.arguments())
    spec = run.spec(chosen.seed)
    with closing(open_service(spec, service=run.service)) as service:
        found = _plan(kernel, samples, n_rows, service, spec, run.settings())
    found = replace(found, samples=samples)
    write_plan(found, out)
    typer.echo(describe_plan(found))
    if has_exact_values(found) and is_quick(found):
        show_agreements(predicted_agreements(found, exact_values(found)))
    elsewhere = f" --service {run.service}" if run.service else ""
    typer.echo(f"wrote {out}; nothing was submitted: qperov hardware submit {out}{elsewhere}")


def _plan(
    chosen: KernelChoice, samples: Samples, n_rows: int, service: Service, spec: BackendSpec, settings: Settings
) -> Plan:
    """The plan of a matrix whose first ``n_rows`` samples are its rows, if not all of them are rows and columns."""
    import numpy as np

    from qperov.hardware.plan import pairs as forms
    from qperov.hardware.plan.planning import plan_autoencoder, plan_bloch, plan_fidelities
    from qperov.quantum.autoencoder.autoencoder import QuantumAutoencoder
    from qperov.quantum.autoencoder.compression import amplitudes
    from qperov.quantum.kernels.fidelity import FidelityKernel

    x = np.asarray(samples.features)
    if chosen.encoder is not None:
        model = QuantumAutoencoder.load(chosen.encoder)
        with checking("FEATURES"):
            vectors = amplitudes(x, model.n_qubits_, "raise")
        return plan_autoencoder(model.gates(), vectors, model.code_qubits, service, spec, settings)
    if n_rows:
        pairs = forms.rectangular(n_rows, len(x) - n_rows)
    elif chosen.landmarks is not None:
        drawn = np.random.default_rng(samples.random_state).permutation(len(x))[: chosen.landmarks]
        pairs = forms.nystroem(len(x), np.sort(drawn), chosen.diagonal)
    else:
        pairs = forms.full(len(x), chosen.diagonal)
    kernel = FidelityKernel(**chosen.arguments())
    scaled = chosen.bandwidth * x
    with checking("--feature-map/--entanglement/--n-qubits"):
        kernel.circuit(scaled[0].tolist())
    with checking("FEATURES"):
        if chosen.kernel == "fidelity":
            return plan_fidelities(kernel.circuit, scaled, pairs, service, spec, settings)
        return plan_bloch(kernel.circuit, scaled, service, spec, settings, pairs)
