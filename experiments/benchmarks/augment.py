"""Simulated scans a minute: instruments and specimens drawn for crystals of seven structure types, on one core and two.

    OMP_NUM_THREADS=1 python experiments/benchmarks/augment.py [--crystals 20] [--copies 20]

Each scan has 1,001 points (10° to 60° by 0.05°). The least of three times counts.
"""

from __future__ import annotations

import argparse
import time

from qperov.crystals import draw_prototypes
from qperov.diffraction import augment, powder_patterns

ROUNDS = 3


def main(crystals: int, copies: int) -> None:
    """Time both, and print."""
    structures, space_groups = draw_prototypes(crystals)
    patterns = powder_patterns(structures, two_theta_range=(8, 64))
    augment(patterns[:2], 2, n_jobs=2)
    peaks = sum(map(len, patterns)) / len(patterns)
    print(f"{len(patterns)} crystals of {len(set(space_groups))} types, {peaks:.0f} peaks each")
    for n_jobs in (1, 2):
        times = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            made = len(augment(patterns, copies, n_jobs=n_jobs))
            times.append(time.perf_counter() - start)
        print(f"{n_jobs} process{'es' * (n_jobs > 1)}: {60 * made / min(times):,.0f} scans a minute")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crystals", type=int, default=20, help="of each structure type")
    parser.add_argument("--copies", type=int, default=20, help="scans of each crystal")
    options = parser.parse_args()
    main(options.crystals, options.copies)
