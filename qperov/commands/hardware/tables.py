"""Tables of numbers as files: features and labels in, matrices out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import typer

#: Endings of tables.
ENDINGS = (".npy", ".csv", ".parquet")


def read_table(path: Path, column: str | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    """Numbers of a file, and one of its columns apart if it is named."""
    if path.suffix not in ENDINGS:
        raise typer.BadParameter(f"{path}: a table is one of {', '.join(ENDINGS)}")
    if path.suffix == ".npy":
        if column is not None:
            raise typer.BadParameter(f"there is no file {column}, and .npy has no named columns", param_hint="--labels")
        return np.load(path, allow_pickle=False), None
    table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    if column is not None and column not in table:
        raise typer.BadParameter(f"{column!r} is no file and no column of {path}", param_hint="--labels")
    rest = table if column is None else table.drop(columns=column)
    words = [str(name) for name in rest.columns if not pd.api.types.is_numeric_dtype(rest[name])]
    if words:
        raise ValueError(f"{path}: columns that are not numbers: {', '.join(words)}")
    return rest.to_numpy(float), None if column is None else table[column].to_numpy(float)


def write_table(values: np.ndarray, out: Path | None) -> None:
    """Write a file, unless none is wanted."""
    if out is None:
        return
    if out.suffix == ".npy":
        np.save(out, values, allow_pickle=False)
    elif out.suffix == ".csv":
        pd.DataFrame(values).to_csv(out, index=False)
    elif out.suffix == ".parquet":
        table = pd.DataFrame(values)
        table.columns = table.columns.astype(str)
        table.to_parquet(out, index=False)
    else:
        raise typer.BadParameter(f"{out}: a table is one of {', '.join(ENDINGS)}", param_hint="--out")
    typer.echo(f"wrote {out}")
