"""Samples of a plan, from tables of numbers or from a dataset by its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qperov.commands.options import DEFAULT_STORE, StorePath

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from qperov.hardware.plan.samples import Samples

#: Endings of tables.
ENDINGS = (".npy", ".csv", ".parquet")

#: Components, and so qubits, where the command line names no number.
COMPONENTS = 6


@dataclass(frozen=True)
class SampleChoice:
    """Which samples are measured."""

    features: Annotated[
        str, typer.Argument(help="Table of features (.npy, .csv, .parquet), one row a sample; or a dataset's name.")
    ]
    id_column: Annotated[
        str | None, typer.Option(help="Column of the tables that names the samples; labels are joined by it.")
    ] = None
    columns: Annotated[Path | None, typer.Option(help="Table of other samples: K(columns, features) is measured.")] = (
        None
    )
    labels: Annotated[
        str | None, typer.Option(help="Table with one column, or name of a column of the features' table.")
    ] = None
    samples: Annotated[int | None, typer.Option(help="Crystals drawn from a named dataset.", min=2)] = None
    components: Annotated[int | None, typer.Option(help="Components kept of a named dataset.", min=1)] = None
    seed: Annotated[int, typer.Option(help="Seed of simulated shots and of all that is drawn.", min=0)] = 0
    store: StorePath = DEFAULT_STORE


def read_samples(chosen: SampleChoice) -> tuple[Samples, int]:
    """The samples, and how many of them are only rows of the matrix.

    Raises
    ------
    ReadingError
        A table that cannot be read, or whose values are not finite numbers; ids that are not unique; labels that do
        not fit.
    """
    from dataclasses import replace

    import numpy as np

    from qperov.errors import FileFormatError

    path = Path(chosen.features)
    if not path.exists() and path.suffix in ENDINGS:
        raise typer.BadParameter(f"there is no file {path}", param_hint="FEATURES")
    found = _from_table(path, chosen) if path.exists() else _from_dataset(chosen)
    if chosen.columns is None:
        return found, 0
    x = np.asarray(found.features)
    others = _read(chosen.columns, chosen.id_column)
    values = _numbers(others, chosen.columns)
    if values.shape[1] != x.shape[1]:
        reason = f"it has {values.shape[1]} features, {chosen.features} has {x.shape[1]}"
        raise FileFormatError(chosen.columns, reason)
    origin = found.origin | {"rows": _file(chosen.columns)}
    ids = (*map(str, others.index), *found.ids)
    return replace(found, ids=ids, features=np.concatenate([values, x]), origin=origin), len(values)


def _from_table(path: Path, chosen: SampleChoice) -> Samples:
    from qperov.hardware.plan.samples import Samples

    table, labels, y = _read(path, chosen.id_column), chosen.labels, None
    origin: dict[str, Any] = {"features": _file(path), "id_column": chosen.id_column}
    if labels is not None and not Path(labels).exists():
        if labels not in table:
            raise typer.BadParameter(f"{labels!r} is no file and no column of {path}", param_hint="--labels")
        y = _labels(table[[labels]], path, table.index)
        table = table.drop(columns=labels)
        origin["target"] = labels
    elif labels is not None:
        y, target = _from_labels(Path(labels), chosen.id_column, table.index)
        origin |= {"labels": _file(Path(labels)), "target": target}
    features = _numbers(table, path)
    return Samples(tuple(map(str, table.index)), features, y, origin, random_state=chosen.seed)


def _from_dataset(chosen: SampleChoice) -> Samples:
    import numpy as np
    import pandas as pd
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from qperov.datasets.dataset import require_crystals
    from qperov.datasets.lookup import find_dataset
    from qperov.descriptors.featurizer import PXRDFeaturizer
    from qperov.descriptors.rank_pca import RankPCA
    from qperov.hardware.plan.samples import Samples
    from qperov.studies.models import diffraction_kinds, lattices_of

    dataset = require_crystals(find_dataset(chosen.features, chosen.store))
    crystals = dataset.one_per_class()
    steps = [f"one crystal of each symmetry class: {len(crystals)} of {len(dataset)}"]
    if chosen.samples is not None:
        if chosen.samples > len(crystals):
            raise typer.BadParameter(f"{dataset.name} has {len(crystals)} different crystals", param_hint="--samples")
        crystals = crystals.take(
            np.sort(np.random.default_rng(chosen.seed).permutation(len(crystals))[: chosen.samples])
        )
        steps.append(f"{chosen.samples} of them drawn with numpy.random.default_rng({chosen.seed}).permutation")
    kind = diffraction_kinds(lattices_of(crystals))[-1]
    pipeline = make_pipeline(PXRDFeaturizer(kind), StandardScaler(), RankPCA(chosen.components or COMPONENTS))
    features = pipeline.fit_transform(crystals.structures)
    origin: dict[str, Any] = {
        "dataset": dataset.name,
        "fingerprint": dataset.fingerprint,
        "target": dataset.target,
        "unit": dataset.unit,
    }
    y = crystals.y
    if chosen.labels is not None:
        path = Path(chosen.labels)
        if not path.exists():
            raise typer.BadParameter(f"there is no file {path}", param_hint="--labels")
        y, target = _from_labels(path, chosen.id_column, pd.Index(crystals.ids))
        origin |= {"labels": _file(path), "target": target, "unit": None}
    steps += [" ".join(repr(step).split()) + ", fitted to these samples" for _, step in pipeline.steps]
    return Samples(crystals.ids, features, y, origin, tuple(steps), random_state=chosen.seed)


def _read(path: Path, id_column: str | None, optional: bool = False) -> pd.DataFrame:
    """A table, its index the ids of its rows: those of a column, or the row's numbers."""
    import numpy as np
    import pandas as pd

    from qperov.errors import DuplicateIdError, FileFormatError

    try:
        if path.suffix == ".npy":
            values = np.load(path, allow_pickle=False)
            table = pd.DataFrame(values if values.ndim > 1 else values[:, None])
        elif path.suffix == ".csv":
            table = pd.read_csv(path, index_col=False)
            if id_column in table:
                # ids are text: 007 is not 7, and NA is a name like others
                table[id_column] = pd.read_csv(path, index_col=False, dtype=str, keep_default_na=False)[id_column]
        elif path.suffix == ".parquet":
            table = pd.read_parquet(path)
        else:
            raise typer.BadParameter(f"{path}: a table is one of {', '.join(ENDINGS)}")
    except (ValueError, OSError) as error:
        raise FileFormatError(path, f"no table can be read from it: {error}") from error
    if id_column is None or (optional and id_column not in table):
        return table
    if id_column not in table:
        raise typer.BadParameter(f"{path} has no column {id_column!r}", param_hint="--id-column")
    table[id_column] = table[id_column].astype(str)
    if twice := sorted(set(table[id_column][table[id_column].duplicated()])):
        raise DuplicateIdError(path, f"ids must be unique, these are not: {', '.join(twice[:5])}")
    return table.set_index(id_column)


def _numbers(table: pd.DataFrame, path: Path) -> np.ndarray:
    """The values of a table, all finite."""
    import numpy as np
    import pandas as pd

    from qperov.errors import FileFormatError

    words = [str(name) for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])]
    if words:
        hint = f"; if it names the samples, say --id-column {words[0]}" if len(words) == 1 else ""
        raise FileFormatError(path, f"columns that are not numbers: {', '.join(words)}{hint}")
    values = table.to_numpy(float)
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        row, column = wrong[0]
        where = f"row {table.index[row]}, column {table.columns[column]}"
        raise FileFormatError(path, f"{len(wrong)} values are missing or not finite, the first in {where}")
    return values


def _from_labels(path: Path, id_column: str | None, ids: pd.Index) -> tuple[np.ndarray, str]:
    """Labels of a table of their own, in the order of ids, and the name of their column."""
    from qperov.errors import LabelError

    table = _read(path, id_column, optional=True)
    if len(table.columns) != 1:
        raise LabelError(path, f"labels are one column beside the ids, this has {', '.join(map(str, table.columns))}")
    if id_column is not None and table.index.name == id_column:
        missing = [name for name in ids if name not in table.index]
        if missing:
            raise LabelError(path, f"{len(missing)} of {len(ids)} samples have no label here, such as {missing[0]}")
        table = table.loc[list(ids)]
    return _labels(table, path, ids), str(table.columns[0])


def _labels(table: pd.DataFrame, path: Path, ids: pd.Index) -> np.ndarray:
    import numpy as np
    import pandas as pd

    from qperov.errors import InvalidLabelError, LabelError

    if len(table) != len(ids):
        raise LabelError(path, f"{len(ids)} samples and {len(table)} labels do not fit together")
    y = pd.to_numeric(table.iloc[:, 0], errors="coerce").to_numpy(float)
    if not np.isfinite(y).all():
        first = ids[np.flatnonzero(~np.isfinite(y))[0]]
        reason = (
            f"{np.count_nonzero(~np.isfinite(y))} of {len(y)} labels are missing or not finite, the first of {first}"
        )
        raise InvalidLabelError(path, reason)
    return y


def _file(path: Path) -> dict[str, str]:
    """A file by its name and the hash of its content."""
    import hashlib

    with path.open("rb") as stream:
        return {"file": path.name, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}
