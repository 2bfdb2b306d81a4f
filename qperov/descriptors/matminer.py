"""Matminer's way of calling a featurizer: one crystal, a list with some bad ones in it, a column of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import Progress

from qperov.diffraction.scatterers import crystal_list
from qperov.errors import DescriptorError, SymmetryError

#: Crystals described at once between two steps of the progress bar.
CHUNK = 256


class TableFeaturizing:
    """The methods of matminer's ``BaseFeaturizer`` for a transformer that describes lists of crystals.

    The class that takes them in has ``feature_rows(entries)``, shape (n, n_features), ``feature_labels()`` and ``fit``.
    """

    if TYPE_CHECKING:

        def feature_rows(self, entries: Sequence[Any]) -> np.ndarray: ...

        def feature_labels(self) -> list[str]: ...

        def fit(self, X: Sequence[Any], y: Any = None) -> Any: ...

    def featurize(self, structure: Any) -> list[float]:
        """Features of one crystal."""
        return self.feature_rows([structure])[0].tolist()

    def featurize_many(
        self, entries: Sequence[Any], ignore_errors: bool = False, return_errors: bool = False, pbar: bool = True
    ) -> list[list[Any]]:
        """Features of many crystals, one list each.

        Parameters
        ----------
        entries : sequence of Structure
        ignore_errors : bool
            A crystal that cannot be described gives a row of NaN, and does not stop the others.
        return_errors : bool
            Append to each row the error as text, or None; needs ``ignore_errors``.
        pbar : bool
            Show a progress bar on the standard error stream.

        Raises
        ------
        ValueError
            If errors are to be returned but not ignored.
        DescriptorError, SymmetryError
            For the first crystal that cannot be described, by its place in the list.
        """
        if return_errors and not ignore_errors:
            raise ValueError("return_errors needs ignore_errors=True: without it the first error ends the call")
        entries = crystal_list(entries)
        rows: list[list[Any]] = []
        with Progress(console=Console(stderr=True), transient=True, disable=not pbar) as progress:
            task = progress.add_task(type(self).__name__, total=len(entries))
            for start in range(0, len(entries), CHUNK):
                chunk = entries[start : start + CHUNK]
                values, errors = self._rows_and_errors(chunk, start, ignore_errors)
                rows += [[*row, error] if return_errors else row for row, error in zip(values, errors, strict=True)]
                progress.advance(task, len(chunk))
        return rows

    def _rows_and_errors(
        self, entries: Sequence[Any], start: int, ignore_errors: bool
    ) -> tuple[list[list[float]], list[str | None]]:
        """Rows of a chunk; one that fails is halved until its bad crystals stand alone."""
        try:
            return self.feature_rows(entries).tolist(), [None] * len(entries)
        except Exception as error:
            if len(entries) == 1:
                reason = str(error).removeprefix("structure 0").lstrip(": ")
                if ignore_errors:
                    return [[np.nan] * len(self.feature_labels())], [f"{type(error).__name__}: {reason}"]
                if isinstance(error, DescriptorError | SymmetryError):
                    family = SymmetryError if isinstance(error, SymmetryError) else DescriptorError
                    raise family(f"entry {start}: {reason}") from error
                error.add_note(f"entry {start} of the list")
                raise
        half = len(entries) // 2
        left = self._rows_and_errors(entries[:half], start, ignore_errors)
        right = self._rows_and_errors(entries[half:], start + half, ignore_errors)
        return left[0] + right[0], left[1] + right[1]

    def featurize_dataframe(
        self,
        df: pd.DataFrame,
        col_id: str,
        ignore_errors: bool = False,
        return_errors: bool = False,
        inplace: bool = False,
        pbar: bool = True,
    ) -> pd.DataFrame:
        """The table with one more column a feature.

        Parameters
        ----------
        df : DataFrame
        col_id : str
            Column of crystals.
        ignore_errors, return_errors, pbar : bool
            As of :meth:`featurize_many`; errors come in the column ``"<class> Exceptions"``.
        inplace : bool
            Add the columns to ``df`` itself.

        Raises
        ------
        ValueError
            If there is no such column, or the table has a column of the name of a feature.
        """
        if col_id not in df.columns:
            raise ValueError(f"the table has no column {col_id!r}; it has {', '.join(map(str, df.columns[:10]))}")
        labels = self.feature_labels() + ([f"{type(self).__name__} Exceptions"] if return_errors else [])
        taken = sorted(set(labels) & set(df.columns))
        if taken:
            raise ValueError(f"the table already has {len(taken)} of these columns, such as {taken[0]!r}; drop them")
        rows = self.featurize_many(df[col_id].tolist(), ignore_errors, return_errors, pbar)
        features = pd.DataFrame(rows, index=df.index, columns=labels)
        if not inplace:
            return pd.concat([df, features], axis=1)
        for label in labels:
            df.insert(len(df.columns), label, features[label].to_numpy())
        return df

    def fit_featurize_dataframe(
        self, df: pd.DataFrame, col_id: str, ignore_errors: bool = False, return_errors: bool = False, pbar: bool = True
    ) -> pd.DataFrame:
        """:meth:`fit` on a column of crystals, then :meth:`featurize_dataframe`."""
        if col_id not in df.columns:
            raise ValueError(f"the table has no column {col_id!r}; it has {', '.join(map(str, df.columns[:10]))}")
        self.fit(df[col_id].tolist())
        return self.featurize_dataframe(df, col_id, ignore_errors, return_errors, pbar=pbar)
