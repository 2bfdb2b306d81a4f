from __future__ import annotations

import os
import pickle
import resource
import sys
from collections import Counter

import numpy as np
import pytest
from filelock import FileLock
from qperov_circuits import Gate
from sklearn.base import clone
from sklearn.gaussian_process.kernels import RBF

from qperov.errors import DiskSpaceError, MissingDependencyError, RecordError
from qperov.quantum.kernels import gram_file
from qperov.quantum.kernels.fidelity import FidelityKernel
from qperov.quantum.kernels.gram_file import write_gram
from qperov.quantum.kernels.interoperation import ForeignKernel
from qperov.quantum.kernels.projected import ProjectedKernel

rng = np.random.default_rng(4)
X, Y = rng.normal(size=(23, 3)), rng.normal(size=(7, 3))
KERNEL = FidelityKernel(bandwidth=0.4)


class Interrupting(RBF):
    """A kernel whose process dies after some blocks."""

    left = 0
    blocks = 0

    def __call__(self, X, Y=None, eval_gradient=False):
        Interrupting.blocks += 1
        if Interrupting.left == 0:
            raise KeyboardInterrupt
        Interrupting.left -= 1
        return super().__call__(X, Y, eval_gradient)


@pytest.mark.parametrize("name", ["K.npy", "K.zarr"])
@pytest.mark.parametrize("others", [None, Y])
def test_the_file_holds_the_matrix(tmp_path, name, others):
    written = write_gram(KERNEL, X, tmp_path / name, others, block=5)
    np.testing.assert_allclose(written[:], KERNEL(X, others), atol=1e-14)
    again = write_gram(KERNEL, X, tmp_path / name, others, block=5)
    assert np.array_equal(again[:], written[:])


@pytest.mark.parametrize("name", ["K.npy", "K.zarr"])
def test_it_goes_on_where_it_was_stopped(tmp_path, name):
    Interrupting.left, Interrupting.blocks = 4, 0
    with pytest.raises(KeyboardInterrupt) as stop:
        write_gram(Interrupting(), X, tmp_path / name, block=10)
    assert stop.value.__notes__ == [f"4 of 6 blocks are in {tmp_path / name}: the same call goes on"]
    assert Interrupting.blocks == 5
    Interrupting.left = 10
    written = write_gram(Interrupting(), X, tmp_path / name, block=10)
    assert Interrupting.blocks == 5 + 2  # of six blocks of the upper triangle four were done
    np.testing.assert_allclose(written[:], RBF()(X), atol=1e-14)


@pytest.mark.parametrize("name", ["K.npy", "K.zarr"])
def test_death_after_a_block_loses_that_block_only(tmp_path, name, monkeypatch):
    notes = []

    write_text = gram_file.write_text

    def die(path, text):
        notes.append(text)
        if len(notes) == 1:  # of the empty file
            return write_text(path, text)
        raise KeyboardInterrupt

    monkeypatch.setattr(gram_file, "write_text", die)
    with pytest.raises(KeyboardInterrupt):
        write_gram(KERNEL, X, tmp_path / name, block=10)
    monkeypatch.undo()
    assert len(notes) == 2
    np.testing.assert_allclose(write_gram(KERNEL, X, tmp_path / name, block=10)[:], KERNEL(X), atol=1e-14)


@pytest.mark.parametrize("name", ["K.npy", "K.zarr"])
def test_death_while_making_the_file_blocks_nothing(tmp_path, name, monkeypatch):
    original = gram_file._open

    def die(path, mode, *about):
        opened = original(path, mode, *about)
        if path.is_file():
            path.write_bytes(path.read_bytes()[:50])
        raise KeyboardInterrupt(opened)

    monkeypatch.setattr(gram_file, "_open", die)
    with pytest.raises(KeyboardInterrupt):
        write_gram(KERNEL, X, tmp_path / name)
    monkeypatch.undo()
    np.testing.assert_allclose(write_gram(KERNEL, X, tmp_path / name)[:], KERNEL(X), atol=1e-14)


def own_map(angles):
    return [Gate("ry", (wire,), angle) for wire, angle in enumerate(angles)]


def other_map(angles):
    return [Gate("ry", (wire,), 2 * angle) for wire, angle in enumerate(angles)]


@pytest.mark.parametrize(
    ("kernel", "other"),
    [
        (RBF(0.5), RBF(0.50001)),
        (2.0 * RBF(), 2.00001 * RBF()),
        tuple(FidelityKernel(bandwidth=np.array([0.1 + shift, 0.2, 0.3])) for shift in (0, 1e-10)),
        (FidelityKernel(own_map), FidelityKernel(other_map)),
        (FidelityKernel(), ProjectedKernel()),
        (ForeignKernel(Counter("a")), ForeignKernel(Counter("b"))),
    ],
)
def test_kernels_are_told_apart_by_every_digit(tmp_path, kernel, other):
    if not isinstance(kernel, ForeignKernel):
        write_gram(kernel, X, tmp_path / "K.npy")
        with pytest.raises(RecordError, match="other kernel"):
            write_gram(other, X, tmp_path / "K.npy")
    assert gram_file._described(kernel) == gram_file._described(pickle.loads(pickle.dumps(kernel)))  # noqa: S301
    assert gram_file._described(kernel) != gram_file._described(other)


def test_what_changes_no_value_may_change(tmp_path):
    written = write_gram(KERNEL, X, tmp_path / "K.npy")
    same = clone(KERNEL).set_params(n_jobs=2, bandwidth_bounds="fixed", bandwidth=np.float64(0.4))
    assert np.array_equal(write_gram(same, X, tmp_path / "K.npy"), written)


def test_a_map_without_a_name_is_taken_for_itself_only(tmp_path):
    first, second = (FidelityKernel(lambda angles: own_map(angles)) for _ in range(2))
    write_gram(first, X, tmp_path / "K.npy")
    write_gram(first, X, tmp_path / "K.npy")
    with pytest.raises(RecordError, match="other kernel"):
        write_gram(second, X, tmp_path / "K.npy")


def test_single_precision_takes_half_the_room(tmp_path):
    written = write_gram(KERNEL, X, tmp_path / "K.npy", dtype="float32")
    assert written.dtype == np.float32
    assert written.nbytes == 23 * 23 * 4
    assert not written.flags.writeable
    np.testing.assert_allclose(written, KERNEL(X), atol=1e-6)


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"kernel": FidelityKernel(bandwidth=0.5)}, "kernel"),
        ({"X": X[:20]}, "samples"),
        ({"Y": Y}, "others"),
        ({"block": 6}, "block"),
        ({"dtype": "float32"}, "dtype"),
    ],
)
def test_another_matrix_is_not_written_over(tmp_path, changed, what):
    write_gram(KERNEL, X, tmp_path / "K.npy", block=5)
    before = (tmp_path / "K.npy").read_bytes()
    arguments = {"kernel": KERNEL, "X": X, "path": tmp_path / "K.npy", "block": 5} | changed
    with pytest.raises(RecordError, match=what):
        write_gram(**arguments)
    assert (tmp_path / "K.npy").read_bytes() == before


def test_a_file_of_unknown_content_is_left_alone(tmp_path):
    np.save(tmp_path / "K.npy", np.ones(3))
    with pytest.raises(RecordError, match="cannot be read"):
        write_gram(KERNEL, X, tmp_path / "K.npy")
    (tmp_path / "K.npy.progress.json").write_text("{")
    with pytest.raises(RecordError, match="cannot be read"):
        write_gram(KERNEL, X, tmp_path / "K.npy")
    assert np.array_equal(np.load(tmp_path / "K.npy"), np.ones(3))


def test_a_second_writer_is_refused(tmp_path):
    with FileLock(tmp_path / "K.npy.lock"), pytest.raises(RecordError, match="another process is writing"):
        write_gram(KERNEL, X, tmp_path / "K.npy")
    assert np.array_equal(write_gram(KERNEL, X, tmp_path / "K.npy").shape, (23, 23))


@pytest.mark.parametrize("name", ["K.npy", "K.zarr"])
def test_a_folder_that_is_not_there_is_told_first(tmp_path, name):
    with pytest.raises(RecordError, match="no folder that can be written to"):
        write_gram(None, X, tmp_path / "none" / name)


def test_room_is_taken_before_anything_is_computed(tmp_path):
    Interrupting.left, Interrupting.blocks = 99, 0
    held = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, held[1]))  # 23 x 23 numbers take 4,232 bytes
    try:
        with pytest.raises(DiskSpaceError, match=r"takes 0\.004\d+ MiB; blocks that are done are kept"):
            write_gram(Interrupting(), X, tmp_path / "K.npy", block=5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, held)
    assert Interrupting.blocks == 0
    np.testing.assert_allclose(write_gram(Interrupting(), X, tmp_path / "K.npy", block=5), RBF()(X), atol=1e-14)
    usage = os.statvfs(tmp_path)
    n = int((usage.f_bavail * usage.f_frsize / 8) ** 0.5) + 1000
    with pytest.raises(DiskSpaceError, match="no room for"):
        write_gram(RBF(), np.zeros((n, 1)), tmp_path / "L.npy")
    assert not (tmp_path / "L.npy").exists()


def test_bad_input(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="end in"):
        write_gram(KERNEL, X, tmp_path / "K.csv")
    with pytest.raises(ValueError, match="block"):
        write_gram(KERNEL, X, tmp_path / "K.npy", block=0)
    with pytest.raises(ValueError, match="dtype"):
        write_gram(KERNEL, X, tmp_path / "K.npy", dtype="float16")
    with pytest.raises(ValueError, match="NaN"):
        write_gram(KERNEL, [[np.nan]], tmp_path / "K.npy")
    assert not list(tmp_path.iterdir())
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(MissingDependencyError, match="zarr"):
        write_gram(KERNEL, X, tmp_path / "K.zarr")
