"""What one criterion says of one crystal."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from pymatgen.core import Structure

from qperov.errors import MissingDependencyError


@dataclass(frozen=True)
class Verdict:
    """Whether a crystal meets a criterion, and why not.

    Attributes
    ----------
    passed : bool
    reason : str
        Why it failed; empty where it passed.
    value : float
        What was measured, in the criterion's unit; NaN where there is no number.
    """

    passed: bool
    reason: str = ""
    value: float = math.nan


def judge(criterion: Callable[[Structure], Verdict], structure: Structure) -> Verdict:
    """Ask a criterion; where it crashes the crystal has failed, for the reason that the exception gives."""
    try:
        return criterion(structure)
    except MissingDependencyError:
        raise  # no fault of the crystal
    except Exception as error:
        return Verdict(False, crash(error))


def crash(error: Exception) -> str:
    """One line that says how something failed."""
    told = " ".join(str(error).split())
    return f"{type(error).__name__}: {told}" if told else type(error).__name__
