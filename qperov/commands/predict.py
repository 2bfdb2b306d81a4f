"""``qperov predict``: what a kept model says of new crystals and measured patterns."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qperov.commands import screen
from qperov.commands.options import check_writable
from qperov.errors import escape_controls

if TYPE_CHECKING:
    import pandas as pd

    from qperov.serving.inputs import Failure
    from qperov.serving.predictor import Predictions
    from qperov.serving.stored_model import StoredModel

#: So many predictions, remarks and failures are shown on the screen; a file holds all of them.
FEW_ROWS, FEW_REMARKS = 40, 10
#: Endings of files of predictions.
ENDINGS = (".csv", ".json", ".parquet")


@screen.resumable("nothing was written: the same command starts again")
def predict(
    model: Annotated[
        Path, typer.Argument(help="A run directory in which `qperov compare --keep` left a model, or a model's folder.")
    ],
    files: Annotated[
        list[Path],
        typer.Argument(
            help="New crystals: files, folders or archives. Measured patterns: xy, xye, csv, xrdml, uxd, …; folders of "
            "them, where the model was trained on patterns."
        ),
    ],
    name: Annotated[
        str | None, typer.Option("--model", help="Which model of the run, where there are several.")
    ] = None,
    confidence: Annotated[float, typer.Option(help="Probability that an interval holds the true value.")] = 0.9,
    out: Annotated[Path | None, typer.Option(help="A .csv, .parquet or .json file for all that is known.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first file that cannot be predicted.")] = False,
    wavelength: Annotated[
        str | None, typer.Option(help="Radiation of measured patterns, such as CuKa, or Å; by default the file's.")
    ] = None,
    background: Annotated[
        str, typer.Option(help="What takes the background off measured patterns: arpls, a method of pybaselines, none.")
    ] = "arpls",
) -> None:
    """Predict with a model that a comparison has kept.

    Each prediction has an interval, made of the model's errors on crystals that it was not trained on. A warning tells
    where a crystal is unlike those that it was trained on: there the interval promises nothing. A model of classes
    answers with the class, its probability, the classes that cannot be ruled out, and what it saw.

    \b
    qperov compare crystals/ --labels labels.csv --target gap --keep best
    qperov predict qperov-runs/crystals-1 new/ candidate.cif
    qperov predict qperov-runs/crystals-1 new.tar.gz --out gaps.csv
    qperov predict qperov-runs/films-1 scan.xy --wavelength CuKa
    """
    from qperov.serving.inputs import NO_BACKGROUND, read_inputs
    from qperov.serving.predictor import predict_entries
    from qperov.serving.stored_model import find_model, load_model

    if out is not None and out.suffix.lower() not in ENDINGS:
        raise typer.BadParameter(f"{out}: predictions are written to {', '.join(ENDINGS)}", param_hint="--out")
    if not 0 < confidence < 1:
        raise typer.BadParameter("between 0 and 1, such as 0.9", param_hint="--confidence")
    if out is not None:
        check_writable(out.parent, "--out")
    with screen.status("Reading the model"):
        stored = load_model(find_model(model, name))
    _introduce(stored)
    with screen.bar("Reading") as advance:
        entries, unread = read_inputs(
            files,
            wavelength=_radiation(wavelength),
            # a model of patterns takes the background off by itself, as in training
            background=NO_BACKGROUND if stored.takes_patterns else background,
            scans=stored.takes_patterns,
            progress=advance,
        )
    _stop_at_first(unread, strict)
    with screen.status("Predicting"):
        predictions = predict_entries(stored, entries, confidence)
    _stop_at_first(predictions.failures, strict)
    failures = [*unread, *predictions.failures]
    if len(predictions.table):
        _show(stored, predictions)
    _tell(failures)
    if out is not None and len(predictions.table):
        write_predictions(out, stored, predictions, failures)
        screen.echo(f"wrote {out}")
    if not len(predictions.table):
        screen.echo("nothing could be predicted", err=True)
        raise typer.Exit(1)


def _radiation(given: str | None) -> str | float | None:
    try:
        return given if given is None else float(given)
    except ValueError:
        return given


def _introduce(model: StoredModel) -> None:
    """What the model is and how well it did, so that nobody takes its numbers for measurements."""
    about, scores, unit = model.about, model.about["scores"], model.unit or ""
    called = about["samples"]
    kind = f"{len(model.classes)} classes" if model.classes else unit or "no unit"
    screen.echo(
        f"{model.name}: {model.target} [{kind}], trained on {about['dataset']['n']} {called} of "
        f"{about['dataset']['name']}"
    )
    beside = f"accuracy {scores['accuracy']:.2f}" if model.classes else f"R² {scores['r2']:.2f}"
    screen.echo(f"on {called} held out: {_score(model)}, {beside} ({about['settings']['split']})")
    for note in model.notes:
        screen.echo(f"warning: {note}", err=True)


def _score(model: StoredModel) -> str:
    """The model's MAE on crystals held out, with its interval, and a constant's beside it."""
    scores, constant, unit = model.about["scores"], model.about["constant"], f" {model.unit}" if model.unit else ""
    if model.classes:
        low, high = scores["balanced_accuracy_low"], scores["balanced_accuracy_high"]
        text = f"balanced accuracy {scores['balanced_accuracy']:.2f} [{low:.2f} … {high:.2f}]"
        return text if constant is None else f"{text}; {constant['name']}: {1 - constant['error']:.2f}"
    text = f"MAE {scores['mae']:.3g} [{scores['mae_low']:.3g} … {scores['mae_high']:.3g}]{unit}"
    return text if constant is None else f"{text}; a constant: {constant['mae']:.3g}"


def _stop_at_first(failures: list[Failure], strict: bool) -> None:
    from qperov.errors import ReadingError

    if strict and failures:
        first = failures[0]
        raise ReadingError(first.id, f"{first.reason} (the first of {len(failures)} problems; prediction is strict)")


def _show(model: StoredModel, predictions: Predictions) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = predictions.table
    digits = 0 if model.classes else _decimals(model)
    table = Table(
        caption="\n".join((_score(model), *(f"warning: {note}" for note in model.notes), _caption(model, predictions)))
    )
    table.add_column("pattern" if model.takes_patterns else "crystal", overflow="fold")
    level = f"{100 * predictions.confidence:.4g} %"
    if model.classes:
        for column in (model.target, "probability", f"{level} set", "seen"):
            table.add_column(column, overflow="fold")
    else:
        table.add_column("composition")
        columns = [model.unit or model.target, f"{level} interval", *(["sd"] if "sd" in rows else [])]
        for column in columns:
            table.add_column(column, justify="right", no_wrap=True)
    table.add_column("domain", no_wrap=True)
    for _, row in rows.head(FEW_ROWS).iterrows():
        style = {"outside": "red", "unusual": "yellow"}.get(row.domain)
        if model.classes:
            cells = [row.id, row.prediction, f"{row.probability:.2f}", row.set, row.seen, row.domain]
            table.add_row(*(Text(escape_controls(cell)) for cell in cells), style=style)
            continue
        interval = f"{row.low:.{digits}f} … {row.high:.{digits}f}" if math.isfinite(row.low) else "unknown"
        cells = [row.id, row.composition or "–", f"{row.prediction:.{digits}f}", interval]
        cells += [f"{row.sd:.{digits}f}"] if "sd" in rows else []
        table.add_row(*(Text(escape_controls(cell)) for cell in (*cells, row.domain)), style=style)
    Console().print(table)
    if len(rows) > FEW_ROWS:
        screen.echo(f"and {len(rows) - FEW_ROWS} more: --out FILE keeps all of them")
    minded = rows[rows["remarks"] != ""].sort_values("domain", ascending=False, kind="stable")
    for _, row in minded.head(FEW_REMARKS).iterrows():
        verdict = "note" if row.domain == "inside" else f"warning: {row.domain}"
        screen.echo(f"{verdict}: {row.id}: {row.remarks}", err=True)
    if len(minded) > FEW_REMARKS:
        screen.echo(f"and {len(minded) - FEW_REMARKS} more with remarks: --out FILE keeps all of them", err=True)


def _caption(model: StoredModel, predictions: Predictions) -> str:
    if model.classes:
        return (
            "probabilities: calibrated on samples held out; sets: conformal, of the classes that these do not "
            "rule out; both hold for samples inside the domain"
        )
    called = model.about["samples"]
    if math.isinf(predictions.half_width):
        return f"too few groups of {called} were held out to give intervals of {100 * predictions.confidence:.4g} %"
    return f"intervals: conformal, from errors on held-out {called}; they hold for {called} inside the domain"


def _decimals(model: StoredModel) -> int:
    """Digits behind the point that show two of the median error on held-out crystals."""
    median = model.residuals.half_width(0.5)
    return min(12, max(0, 1 - math.floor(math.log10(median)))) if median > 0 else 6


def _tell(failures: list[Failure]) -> None:
    for failure in failures[:FEW_REMARKS]:
        screen.echo(f"left out: {failure.id}: {failure.reason} ({failure.kind})", err=True)
    if len(failures) > FEW_REMARKS:
        screen.echo(f"left out: and {len(failures) - FEW_REMARKS} more: --out FILE keeps all of them", err=True)


def write_predictions(path: Path, model: StoredModel, predictions: Predictions, failures: Sequence[Failure]) -> None:
    """Write a table, one row an entry, those without a prediction last; an existing file is replaced at the end.

    Columns are those of ``predictions.table`` with ``confidence``, ``unit``, ``model``, its MAE (balanced accuracy) on
    samples held out and the interval of that, what it warns of and, for entries without a prediction, ``error``. In
    JSON they are the list ``predictions``, after what is known of the model.
    """
    import pandas as pd

    from qperov.storage.atomic import atomic_path, write_text
    from qperov.storage.plain_values import plain_cells

    ending = path.suffix.lower()
    table = predictions.table.assign(error="")
    if failures:
        lost = [{"id": failure.id, "error": f"{failure.kind}: {failure.reason}"} for failure in failures]
        table = pd.concat([table, pd.DataFrame(lost)], ignore_index=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    if ending == ".json":
        text = json.dumps(_content(model, predictions, table), indent=1, ensure_ascii=False, allow_nan=False)
        write_text(path, text + "\n")
        return
    scores = model.about["scores"]
    known = {"confidence": predictions.confidence, "unit": model.unit, "model": model.name}
    shown = "balanced_accuracy" if model.classes else "mae"
    known |= {f"model_{name}": scores[name] for name in (shown, f"{shown}_low", f"{shown}_high")}
    known |= {"model_warning": "; ".join(model.notes)}
    for place, (column, value) in enumerate(
        known.items(), start=table.columns.get_loc("set" if model.classes else "high") + 1
    ):
        table.insert(place, column, value)
    with atomic_path(path) as temporary:
        if ending == ".csv":
            plain_cells(table).to_csv(temporary, index=False, encoding="utf-8", errors="backslashreplace")
        else:
            table.to_parquet(temporary, index=False)


def _content(model: StoredModel, predictions: Predictions, table: pd.DataFrame) -> dict[str, Any]:
    return {
        "model": model.name,
        "target": model.target,
        "unit": model.unit,
        "trained_on": model.about["dataset"],
        "scores": {name: _plain(value) for name, value in model.about["scores"].items()},
        "constant": model.about["constant"],
        "versions": model.about["versions"],
        "notes": list(model.notes),
        "confidence": predictions.confidence,
        "predictions": [
            {name: _plain(value) for name, value in row.items()} for row in table.to_dict(orient="records")
        ],
    }


def _plain(value: Any) -> Any:
    """None for what JSON has no number for."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
