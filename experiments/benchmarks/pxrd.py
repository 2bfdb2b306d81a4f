"""Time to powder patterns, ours against pymatgen's XRDCalculator and xrd-rust, in one run on one core.

Relaxed cells, each with a lattice of its own, in three sizes, and orderings of one ideal supercell. Peers are timed in
turn with ours, a few crystals at a time, and the least time counts, so that what else the machine does falls on all
alike. Where a peer's patterns are not ours, a line says so. Below the ratios: what bare arithmetic would take, growth
with the number of crystals, and a screening's worth of orderings on one process and on two.

    OMP_NUM_THREADS=1 python experiments/benchmarks/pxrd.py [--orderings 100000] [--plot growth.png]
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice, Structure
from threadpoolctl import threadpool_limits

import qperov
from qperov.diffraction.radiation import g_limits
from qperov.diffraction.reflections import reflections

#: A peer's largest difference in scaled intensity that counts as the same pattern.
SAME_INTENSITY = 1e-6


@dataclass(frozen=True)
class Task:
    """One kind of crystals, and how many of them each contestant is given at a time."""

    name: str
    make: Callable[[int], list[Structure]]
    ours: int
    peers: int = 3
    rounds: int = 5


def perovskite(shape: tuple[int, int, int], edge: float = 6.0) -> Structure:
    """CsPbBr₃ repeated ``shape`` times."""
    positions = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    return Structure(Lattice.cubic(edge), ["Cs", "Pb", "Br", "Br", "Br"], positions) * shape


def orderings(count: int, shape: tuple[int, int, int] = (2, 2, 2), seed: int = 0) -> list[Structure]:
    """Random I for Br on the X sites of one supercell, a quarter of them."""
    rng = np.random.default_rng(seed)
    parent = perovskite(shape)
    halides = np.flatnonzero([site.specie.symbol == "Br" for site in parent])
    crystals = []
    for _ in range(count):
        crystal = parent.copy()
        for site in rng.choice(halides, size=len(halides) // 4, replace=False):
            crystal.replace(int(site), "I")
        crystals.append(crystal)
    return crystals


def relaxed(count: int, shape: tuple[int, int, int] = (2, 2, 2)) -> list[Structure]:
    """Orderings whose cells are strained and whose atoms are moved, each in its own way: triclinic."""
    rng = np.random.default_rng(1)
    return [
        Structure(
            Lattice(crystal.lattice.matrix @ (np.eye(3) + rng.normal(scale=0.01, size=(3, 3)))),
            crystal.species,
            crystal.frac_coords + rng.normal(scale=0.01, size=(len(crystal), 3)),
        )
        for crystal in orderings(count, shape)
    ]


TASKS = (
    Task("relaxed, 40 atoms, each its own cell", relaxed, ours=100),
    Task("orderings of one cubic cell, 40 atoms", orderings, ours=2000),
    Task("relaxed, 5 atoms, each its own cell", lambda count: relaxed(count, (1, 1, 1)), ours=1000, peers=20),
    Task("relaxed, 135 atoms, each its own cell", lambda count: relaxed(count, (3, 3, 3)), ours=20, peers=2, rounds=3),
)


def xrd_rust_pattern() -> Callable[[Structure], object]:
    """xrd-rust, which puts pymatgen's formula into Rust."""
    from xrd_rust_calculator import XRDCalculatorRust

    return XRDCalculatorRust().get_pattern


PEERS: dict[str, Callable[[], Callable[[Structure], object]]] = {
    "pymatgen": lambda: XRDCalculator().get_pattern,
    "xrd-rust": xrd_rust_pattern,
}


def seconds(run: Callable[[], object]) -> float:
    """Wall-clock time of one run, with no garbage collection in it."""
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start
    finally:
        gc.enable()


def largest_difference(pattern: qperov.diffraction.Pattern, other: object) -> float:
    """Largest difference in scaled intensity; infinite where peaks stand elsewhere."""
    angles, intensity = np.asarray(other.x), np.asarray(other.y)  # type: ignore[attr-defined]
    if len(angles) != len(pattern) or np.abs(angles - pattern.two_theta).max() > 1e-6:
        return np.inf
    return float(np.abs(intensity - pattern.intensity).max())


def measure(task: Task) -> tuple[float, dict[str, float | str]]:
    """Our seconds a crystal, and each peer's, or a line of text where it has none that count."""
    crystals = task.make(task.ours)
    few = crystals[: task.peers]
    patterns = qperov.powder_patterns(few)
    peers, rows = {}, {}
    for name, load in PEERS.items():
        try:
            pattern_of = load()
        except ImportError as error:
            rows[name] = f"not installed ({error.name})"
            continue
        worst = max(largest_difference(ours, pattern_of(crystal)) for ours, crystal in zip(patterns, few, strict=True))
        if worst > SAME_INTENSITY:
            rows[f"{name}'s patterns"] = "have other peaks" if worst == np.inf else f"differ by {worst:.1e} of 100"
        peers[name] = pattern_of
    own, times = [], {name: [] for name in peers}
    for _ in range(task.rounds):
        own.append(seconds(lambda: qperov.powder_patterns(crystals)) / len(crystals))
        for name, pattern_of in peers.items():
            times[name] += [seconds(lambda crystal=crystal, of=pattern_of: of(crystal)) for crystal in few]
    return min(own), {name: min(several) for name, several in times.items()} | rows


def bounds(task: Task, repeats: int = 20) -> dict[str, float]:
    """Seconds a crystal that bare arithmetic takes: one matrix product, or one pass over what it reads and writes."""
    crystal = task.make(1)[0]
    n_reflections = len(reflections(crystal.lattice.matrix, g_limits("CuKa", (0, 90))).g)
    n_sites = len(crystal)
    many = 64
    rng = np.random.default_rng(0)
    left, right = rng.random((many, n_sites)), rng.random((n_sites, 2 * n_reflections))
    there = np.empty((many, 2 * n_reflections))
    angle = rng.random(4 * n_reflections)
    return {
        "product of occupancies and phases": min(seconds(lambda: left @ right) for _ in range(repeats)) / many,
        "copying |F| once": min(seconds(there.copy) for _ in range(repeats)) / many,
        "exponentials of four elements": 4 * min(seconds(lambda: np.exp(angle)) for _ in range(repeats)),
    }


def growth(make: Callable[[int], list[Structure]], counts: Sequence[int]) -> list[tuple[int, float]]:
    """Seconds for more and more crystals; the best of three."""
    crystals = make(max(counts))
    return [
        (count, min(seconds(lambda count=count: qperov.powder_patterns(crystals[:count])) for _ in range(3)))
        for count in counts
    ]


def print_ratios() -> None:
    """The ratio table."""
    print("| crystals | ours | pymatgen | ratio | xrd-rust | ratio |\n|---|---|---|---|---|---|")
    remarks: list[str] = []
    for task in TASKS:
        own, rows = measure(task)
        cells = [task.name, f"{1e3 * own:.3f} ms"]
        for name in PEERS:
            value = rows[name]
            cells += [value, "–"] if isinstance(value, str) else [f"{1e3 * value:.1f} ms", f"{value / own:.0f}×"]
        remarks += [f"{task.name}: {name} {text}" for name, text in rows.items() if name not in PEERS]
        print("| " + " | ".join(cells) + " |")
    print(*remarks, sep="\n")


def print_bounds() -> None:
    """Bare arithmetic."""
    print("\n| crystals | bare arithmetic | a crystal |\n|---|---|---|")
    for task in TASKS[:2]:
        for name, value in bounds(task).items():
            print(f"| {task.name} | {name} | {1e3 * value:.4f} ms |")


def print_growth(plot: Path | None) -> None:
    """Time against number, which should be proportional."""
    curves = {
        "relaxed, 40 atoms": growth(relaxed, (50, 100, 200, 400)),
        "orderings, 40 atoms": growth(orderings, (1000, 2000, 4000, 8000)),
    }
    print("\n| crystals | number | seconds | ms each |\n|---|---|---|---|")
    for name, points in curves.items():
        for count, taken in points:
            print(f"| {name} | {count} | {taken:.3f} | {1e3 * taken / count:.3f} |")
    if plot is not None:
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(figsize=(5, 4), layout="constrained")
        for name, points in curves.items():
            axes.loglog(*zip(*points, strict=True), "o-", label=name)
        axes.set(xlabel="number of crystals", ylabel="time (s)")
        axes.legend(frameon=False)
        figure.savefig(plot)


def print_many(count: int) -> None:
    """A screening's worth of orderings, on one process and on two; making the crystals is not timed."""
    block = 10_000
    taken = {1: 0.0, 2: 0.0}
    done = 0
    while done < count:
        crystals = orderings(min(block, count - done), seed=done)
        for processes in taken:
            taken[processes] += seconds(
                lambda n=processes, crystals=crystals: qperov.powder_patterns(crystals, n_jobs=n)
            )
        done += len(crystals)
    for processes, total in taken.items():
        print(f"\n{count} orderings of 40 atoms, {processes} process(es): {total:.1f} s")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orderings", type=int, default=100_000, help="how many in the last measurement; 0: none")
    parser.add_argument("--plot", type=Path, help="file for a figure of the growth")
    arguments = parser.parse_args()
    with threadpool_limits(limits=1):
        print_ratios()
        print_bounds()
        print_growth(arguments.plot)
        if arguments.orderings:
            print_many(arguments.orderings)


if __name__ == "__main__":
    main()
