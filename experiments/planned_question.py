"""What do repeats of cross-validation decide, and what do they leave open?

    python experiments/planned_question.py ../shared/data/cpx321 --out qperov-runs/planned-question

asks the planned question of each descriptor, best quantum against best classical model, on the labelled symmetry
classes of CPX321 (PBE energies, one crystal a class) with the models of `qperov demo`. The answer is that of all
repeats, a number that is fixed beforehand. Printed beside it: what fewer repeats would have said, and the difference
that could have been detected, which falls towards a floor. With --quick: every fourth class, few candidates, two
repeats of five folds. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd

import qperov
from qperov.commands import screen
from qperov.evaluation.results import Comparison
from qperov.evaluation.tables import planned_table
from qperov.records import write_record
from qperov.records.runs import claim_run
from qperov.reports import build_report
from qperov.studies.models import build_suite

SHOWN = ["descriptor", "repeats", "folds", "delta_mae", "low", "high", "p", "detectable", "floor", "outcome"]
QUICK_STEP, QUICK_FOLDS, QUICK_REPEATS = 4, 5, 2


@dataclass(frozen=True)
class Task:
    """Settings of the experiment.

    Attributes
    ----------
    data : Path
        Folder with the archive of POSCARs and ``labels.csv``.
    out : Path
        Folder that receives the run, its report and the table of repeats.
    folds, repeats : int
        Of the cross-validation.
    jobs : int
        Processes; -1 for all cores.
    seed : int
        Of folds, searches and bootstrap.
    quick : bool
        Fewer crystals, candidates, folds and repeats.
    """

    data: Path
    out: Path = Path("qperov-runs/planned-question")
    folds: int = 10
    repeats: int = 10
    jobs: int = -1
    seed: int = 0
    quick: bool = False


def by_repeats(comparison: Comparison) -> pd.DataFrame:
    """The planned questions as the first repeats alone would have answered them."""
    models = comparison.table[comparison.table["role"] == "candidate"]
    questions = {}
    for descriptor in comparison.planned["descriptor"]:
        own = models[models["descriptor"] == descriptor]
        quantum, classical = (own.loc[own["family"] == each, "model"].tolist() for each in ("quantum", "classical"))
        questions[descriptor] = (quantum, classical)
    tables = [
        planned_table(
            questions, comparison.folds[comparison.folds["repeat"] < repeats], comparison.settings["rope"]
        ).assign(repeats=repeats)
        for repeats in range(1, comparison.settings["repeats"] + 1)
    ]
    return pd.concat(tables).sort_values(["descriptor", "repeats"])[SHOWN]


def main(task: Task) -> pd.DataFrame:
    """Compare, write record and report; returns and saves the table of repeats."""
    dataset = qperov.read(
        task.data, target="energy_ev_per_cell", labels=task.data / "labels.csv", convert="meV/atom"
    ).one_per_class()
    if task.quick:
        dataset = dataset.take(range(0, len(dataset), QUICK_STEP))
        task = replace(task, folds=min(task.folds, QUICK_FOLDS), repeats=min(task.repeats, QUICK_REPEATS))
    suite = build_suite(dataset, quick=task.quick, exploratory=False, random_state=task.seed)
    with screen.resumable("the same command goes on with the folds that are done"), screen.bar("Fitting") as advance:
        comparison = qperov.compare(
            suite.models,
            dataset,
            folds=task.folds,
            repeats=task.repeats,
            random_state=task.seed,
            n_jobs=task.jobs,
            progress=advance,
            resume=task.out / "folds",
        )
    comparison = replace(comparison, settings=comparison.settings | {"notes": list(suite.notes)})
    screen.print_table(comparison)
    table = by_repeats(comparison)
    region = comparison.settings["rope"]
    print(f"\nby the first repeats alone, {dataset.unit}; region of practical equivalence ±{region:.4f}")
    print(table.to_string(index=False, float_format=lambda value: f"{value:.4f}"))
    table.to_csv(task.out / "repeats.csv", index=False)
    record = write_record(
        claim_run(task.out, "run"),
        comparison,
        task={"command": shlex.join(["python", *sys.argv]), **{k: str(v) for k, v in asdict(task).items()}},
        dataset=dataset.about,
        claimed=True,
    )
    print(f"report: {build_report(record)}")
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with the POSCAR archive and labels.csv")
    parser.add_argument("--out", type=Path, default=Task.out, help="folder of the run and the table of repeats")
    for number, meaning in (
        ("folds", "of the cross-validation"),
        ("repeats", "fixed beforehand"),
        ("jobs", "processes; -1 for all cores"),
        ("seed", "of folds and bootstrap"),
    ):
        parser.add_argument(f"--{number}", type=int, default=getattr(Task, number), help=meaning)
    parser.add_argument(
        "--quick", action="store_true", help="every fourth class, few candidates, two repeats of five folds"
    )
    main(Task(**vars(parser.parse_args())))
