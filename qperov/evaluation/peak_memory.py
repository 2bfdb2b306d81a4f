"""Peak memory of a piece of work, as Linux counts it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

#: Where Linux tells the memory of this process, and where its peak is set back.
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
#: What is written to ``CLEAR`` to set the peak back to what is in use now.
RESET_PEAK = "5"


@dataclass
class PeakMemory:
    """How far the resident memory of the process rose above its start, in MB (10⁶ bytes).

    Attributes
    ----------
    megabytes : float
        NaN until the work is done, and where the system does not tell.
    """

    megabytes: float = float("nan")


@contextmanager
def peak_memory() -> Iterator[PeakMemory]:
    """Measure the work inside: peak of the resident memory less what was resident before.

    It counts everything that the process takes, whichever library asks for it; memory that was freed before but not
    yet given back to the system is used again unseen, so that small figures are too small. Other threads are counted
    too. Linux only (proc(5), ``clear_refs`` and ``VmHWM``); elsewhere the result is NaN.
    """
    peak = PeakMemory()
    try:
        CLEAR.write_text(RESET_PEAK, encoding="ascii")
        before = _kilobytes("VmRSS")
    except (OSError, LookupError):
        yield peak
        return
    yield peak
    peak.megabytes = max(0, _kilobytes("VmHWM") - before) * 1024 / 1e6


def _kilobytes(name: str) -> int:
    lines = STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    values = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(values[name].split()[0])
