"""Kernel matrices larger than memory, written block by block to a file, and taken up again where they were left."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import ArrayLike
from rich.progress import track
from sklearn.gaussian_process.kernels import Kernel
from sklearn.utils import check_array

from qperov.errors import DiskSpaceError, MissingDependencyError, RecordError
from qperov.quantum.kernels.feature_map_kernel import plain
from qperov.storage.atomic import NO_ROOM, atomic_path, remove_partial, require_room, write_text


def write_gram(
    kernel: Kernel,
    X: ArrayLike,
    path: str | Path,
    Y: ArrayLike | None = None,
    *,
    block: int = 2048,
    dtype: str = "float64",
    progress: bool = False,
) -> Any:
    """K(X, Y) in a file, of which only one block is in memory at a time; called again it goes on where it stopped.

    Parameters
    ----------
    kernel : sklearn.gaussian_process.kernels.Kernel
        A quantum kernel, any kernel of scikit-learn's Gaussian processes, or a combination. To be taken up again by
        another process, a feature map of your own must be a function that can be imported: it is known by its name.
        Other objects are known by their pickle, and one that changes with every start is refused.
    X : array of shape (n_samples, n_features)
    path : str or Path
        ``*.npy`` for an array to be memory-mapped, ``*.zarr`` for a Zarr array (compressed, in chunks; needs Zarr).
        Beside it stands ``PATH.progress.json``, which says what the matrix is of and which blocks are done. A second
        process that would write it at the same time is refused.
    Y : array of shape (m_samples, n_features) or None
        None for X itself; each pair is then evaluated once.
    block : int
        Rows and columns of a block.
    dtype : "float64" or "float32"
    progress : bool
        Show a bar.

    Returns
    -------
    numpy.memmap or zarr.Array of shape (n_samples, m_samples)
        Opened for reading.

    Raises
    ------
    RecordError
        The file is there and belongs to another kernel, other samples or other blocks, or a file is there and nothing
        tells what it is; its folder cannot be written to; or another process is writing it.
    DiskSpaceError
        The disk has no room for it; of a Zarr array, which is compressed, the blocks that fitted are kept.
    MissingDependencyError
        ``*.zarr`` without Zarr.
    ValueError
        NaN or infinity, another ending, a parameter out of range.
    """
    path = Path(path)
    samples: np.ndarray = check_array(X, dtype=np.float64, input_name="X")
    others: np.ndarray = samples if Y is None else check_array(Y, dtype=np.float64, input_name="Y")
    shape = (len(samples), len(others))
    if block < 1:
        raise ValueError(f"block must be at least 1, got {block}")
    if dtype not in ("float64", "float32"):
        raise ValueError(f"dtype must be 'float64' or 'float32', got {dtype!r}")
    if path.suffix not in (".npy", ".zarr"):
        raise ValueError(f"the file must end in .npy or .zarr, got {path.name!r}")
    whole: dict[str, Any] = {"kernel": _described(kernel), "block": block, "dtype": dtype, "shape": list(shape)}
    whole |= {"samples": _digest(samples), "others": None if Y is None else _digest(others)}
    notes = path.with_name(path.name + ".progress.json")
    corners = list(_corners(*shape, block, symmetric=Y is None))
    if not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
        raise RecordError(f"{path.parent} is no folder that can be written to: make it, or choose another")
    lock = FileLock(path.with_name(path.name + ".lock"), timeout=0)  # the system releases it when a process dies
    try:
        with lock:
            remove_partial(path)
            remove_partial(notes)
            _write_blocks(kernel, samples, None if Y is None else others, path, notes, whole, corners, progress)
    except Timeout:
        raise RecordError(f"another process is writing {path}: wait for it, or choose another name") from None
    except OSError as error:
        if error.errno not in NO_ROOM and not isinstance(error, DiskSpaceError):
            raise
        needed = f"{shape[0] * shape[1] * np.dtype(dtype).itemsize / 2**20:.4g} MiB"
        reason = f"no room for {path}: the whole matrix takes {needed}; blocks that are done are kept, call it again"
        raise DiskSpaceError(reason) from error
    return _open(path, "r", shape, dtype, block)


def _write_blocks(
    kernel: Kernel,
    samples: np.ndarray,
    others: np.ndarray | None,
    path: Path,
    notes: Path,
    whole: dict[str, Any],
    corners: list[tuple[int, int]],
    progress: bool,
) -> None:
    """Compute the blocks that are not in the file yet, and note each one that is."""
    shape, dtype, block = tuple(whole["shape"]), whole["dtype"], whole["block"]
    done = _done(path, notes, whole)
    if done is None:
        return
    if not path.exists():
        with atomic_path(path) as empty:
            _open(empty, "w+", shape, dtype, block, path.suffix)
            if empty.is_file():
                _reserve(empty)
            write_text(notes, json.dumps({"matrix": whole, "done": []}))
    target = _open(path, "r+", shape, dtype, block)
    try:
        for top, start in track(
            [corner for corner in corners if corner not in done], "kernel matrix", disable=not progress
        ):
            rows, columns = samples[top : top + block], (samples if others is None else others)[start : start + block]
            values = kernel(rows) if others is None and top == start else kernel(rows, columns)
            target[top : top + block, start : start + block] = values
            if others is None and top != start:
                target[start : start + block, top : top + block] = values.T
            if isinstance(target, np.memmap):
                target.flush()
            done.add((top, start))
            write_text(notes, json.dumps({"matrix": whole, "done": sorted(done)}))
    except KeyboardInterrupt as stop:
        stop.add_note(f"{len(done)} of {len(corners)} blocks are in {path}: the same call goes on")
        raise
    write_text(notes, json.dumps({"matrix": whole, "done": "all"}))


def _reserve(path: Path) -> None:
    """Take the room of a sparse file at once: a page that finds the disk full would kill the process."""
    size = path.stat().st_size
    require_room(path, size)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, size)


def _corners(n: int, m: int, block: int, symmetric: bool) -> Iterator[tuple[int, int]]:
    for top in range(0, n, block):
        for left in range(top if symmetric else 0, m, block):
            yield top, left


def _done(path: Path, notes: Path, whole: dict[str, Any]) -> set[tuple[int, int]] | None:
    """Corners of the blocks that are in the file; None if all are."""
    if not path.exists():
        return set()
    try:
        found = json.loads(notes.read_text())
        matrix, done = found["matrix"], found["done"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordError(
            f"{path} is there, but {notes.name} beside it, which tells what the matrix is of, cannot be read "
            f"({error}): move the file away or choose another name"
        ) from error
    different = [name for name in whole if matrix.get(name) != whole[name]]
    if different:
        raise RecordError(f"{path} holds a matrix of other {', '.join(different)}: move it away or choose another name")
    return None if done == "all" else {(top, left) for top, left in done}


def _open(path: Path, mode: str, shape: tuple[int, int], dtype: str, block: int, ending: str = "") -> Any:
    if (ending or path.suffix) == ".npy":
        if mode == "w+":
            return np.lib.format.open_memmap(path, "w+", dtype=np.dtype(dtype), shape=shape)
        return np.load(path, mmap_mode="r+" if mode == "r+" else "r", allow_pickle=False)
    try:
        import zarr
    except ImportError as error:
        raise MissingDependencyError("a .zarr file needs Zarr: pip install zarr, or use .npy") from error
    if mode == "w+":
        chunks = (min(block, shape[0]), min(block, shape[1]))
        return zarr.create_array(path, shape=shape, chunks=chunks, dtype=dtype, overwrite=True)
    return zarr.open_array(path, mode=mode)


def _described(value: Any) -> Any:
    """A kernel or one of its parameters as JSON that tells it from any other; the text of a kernel rounds numbers."""
    if isinstance(value, Kernel):
        described = {
            name: _described(parameter)
            for name, parameter in value.get_params(deep=False).items()
            if name not in ("n_jobs", "device") and not name.endswith("_bounds")  # they change no value
        }
        return {"class": f"{type(value).__module__}.{type(value).__qualname__}"} | described
    value = plain(value)
    if isinstance(value, list | tuple):
        return [_described(item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    text = repr(value)
    if " at 0x" not in text:
        return text
    try:
        return f"{type(value).__qualname__} {hashlib.blake2b(pickle.dumps(value), digest_size=16).hexdigest()}"
    except (pickle.PicklingError, TypeError, AttributeError):
        return text


def _digest(X: np.ndarray) -> str:
    return hashlib.blake2b(np.ascontiguousarray(X).tobytes() + repr(X.shape).encode(), digest_size=16).hexdigest()
