"""Every exception that qperov raises on purpose, in one family, and the warnings of what is deprecated.

``except QperovError`` catches all of them. Each message says what is wrong, where, and what to do.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, TypeVar, cast

Init = TypeVar("Init", bound=Callable[..., None])

# Controls (C0, C1, line and paragraph separators), marks that turn the direction of text, and bytes that are not UTF-8.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def escape_controls(text: str) -> str:
    r"""A text with control characters and undecodable bytes spelt out, as in ``\x1b``: names come from strangers."""

    def spell(found: re.Match[str]) -> str:
        code = ord(found[0])
        if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that is not UTF-8
            code -= 0xDC00
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"

    return _UNPRINTABLE.sub(spell, text)


class QperovError(Exception):
    """Base of the family."""


class MissingDependencyError(QperovError, ImportError):
    """An optional dependency is absent; the message names the extra that brings it."""


class OptionError(QperovError, ValueError):
    """An option or argument of the command line cannot be used; the message names it as it was typed."""


# --- reading ------------------------------------------------------------------------------------


class ReadingError(QperovError):
    """One entry (a file, a run, a label) could not be used.

    Parameters
    ----------
    path : str or Path
        The file, archive member or label row that is at fault.
    reason : str
        What is wrong and what to do about it.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        self.path = escape_controls(str(path))
        self.reason = escape_controls(" ".join(reason.splitlines()))
        super().__init__(f"{self.path}: {self.reason}")

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.path, self.reason)


class UnreadableFileError(ReadingError):
    """The operating system does not let us read a file or folder, or it does not exist."""


class EmptyFileError(ReadingError):
    """A file without content."""


class FileFormatError(ReadingError):
    """The content is not what the format asks for: cut short, binary junk, a line that is not numbers."""


class UnknownElementError(ReadingError):
    """The elements of a file are not given, or are not elements."""


class AtomCountError(ReadingError):
    """The counts of elements, sites or energies in an entry contradict each other."""


class ImplausibleCellError(ReadingError):
    """A cell without atoms, of absurd volume, or with atoms on top of each other."""


class UnfinishedRunError(ReadingError):
    """A calculation that did not end, or whose last step did not converge."""


class WavelengthError(ReadingError):
    """A scan whose radiation is not known."""


class AngleOrderError(FileFormatError):
    """A scan whose angles go up and down."""


class IntensityError(ReadingError):
    """Intensities that no counter gives: negative, cut off at the top, or in another unit than those beside them."""


class PatternRangeError(ReadingError):
    """A pattern that does not reach over the angles that are asked for."""


class LabelError(ReadingError):
    """A label could not be joined to a structure."""


class InvalidLabelError(LabelError):
    """A label that is NaN, infinite, empty or not a number."""


class MissingLabelError(LabelError):
    """A structure for which no label was given."""


class OrphanLabelError(LabelError):
    """A label for which no structure was found."""


class DuplicateIdError(LabelError):
    """Two entries claim the same id."""


# --- everything else ----------------------------------------------------------------------------


class EmptyDatasetError(QperovError):
    """Nothing usable was left after reading; the message says why."""


class SymmetryError(QperovError):
    """Structures do not share the parent lattice that was asked for, or the cell is too large."""


class DescriptorError(QperovError):
    """A descriptor cannot be computed for a structure."""


class PatternError(DescriptorError):
    """Some crystals of a batch have no powder pattern; all others were worked out and are carried along.

    Parameters
    ----------
    patterns : list of Pattern or None
        One entry per crystal; ``None`` for those without a pattern.
    reasons : dict of int to str
        Index of each crystal without a pattern, and why.
    """

    #: Reasons written out in the message; all are in ``reasons``.
    SHOWN = 10

    def __init__(self, patterns: list, reasons: dict[int, str]) -> None:
        lines = [f"structure {row}: {reason}" for row, reason in list(reasons.items())[: self.SHOWN]]
        if len(reasons) > self.SHOWN:
            lines.append(f"and {len(reasons) - self.SHOWN} more")
        if len(patterns) > 1:
            lines[0] = f"{len(reasons)} of {len(patterns)} crystals have no powder pattern; {lines[0]}"
        super().__init__("; ".join(lines))
        self.patterns = patterns
        self.reasons = reasons

    def __reduce__(self) -> tuple[type, tuple[list, dict[int, str]]]:
        return type(self), (self.patterns, self.reasons)


class RepresentationError(QperovError):
    """Some crystals of a list do not fit into an invertible representation.

    Parameters
    ----------
    reasons : dict of int to str
        Index of each such crystal, and why.
    n_crystals : int
        Length of the list.
    """

    #: Reasons written out in the message; all are in ``reasons``.
    SHOWN = 10

    def __init__(self, reasons: dict[int, str], n_crystals: int) -> None:
        lines = [f"structure {row}: {reason}" for row, reason in list(reasons.items())[: self.SHOWN]]
        if len(reasons) > self.SHOWN:
            lines.append(f"and {len(reasons) - self.SHOWN} more")
        super().__init__(f"{len(reasons)} of {n_crystals} crystals cannot be represented; " + "; ".join(lines))
        self.reasons = reasons
        self.n_crystals = n_crystals

    def __reduce__(self) -> tuple[type, tuple[dict[int, str], int]]:
        return type(self), (self.reasons, self.n_crystals)


class CompositionError(QperovError):
    """A formula or crystal whose ions, sites or ionic radii cannot be told."""


class DatasetNameError(QperovError, ValueError):
    """A name that no dataset may have, or that none has."""


class DatasetKindError(QperovError, ValueError):
    """A dataset of measured patterns where crystals are needed, or of classes where numbers are."""


class StoreError(QperovError):
    """The SQLite store is of another version, or holds contradicting data."""


class TaskFileError(QperovError):
    """A file of benchmark tasks cannot be read, or names none that is wanted."""


class FetchError(QperovError):
    """A service on the network gave no answer, or one that cannot be understood, or it wants a key."""


class RecordError(QperovError):
    """A run directory is incomplete, of another version, or already there."""


class DiskSpaceError(QperovError, OSError):
    """A disk has no room for a file; the message says how much is needed and what was kept."""


def can_go_on(error: BaseException) -> bool:
    """Whether it was the user, or a full disk, that stopped some work."""
    return isinstance(error, KeyboardInterrupt | DiskSpaceError) or isinstance(error.__cause__, DiskSpaceError)


class CircuitSizeError(QperovError):
    """A circuit too large for exact simulation; the message says how much memory it would take."""


class BondDimensionError(CircuitSizeError):
    """A circuit entangles its qubits more than the matrix product states allowed can hold; the message has the bond."""


class KernelSizeError(QperovError):
    """A kernel matrix that does not fit in memory; the message has its size and the ways out."""


class RelaxationError(QperovError):
    """A crystal could not be relaxed; the message says why."""


class DivergedError(RelaxationError):
    """A relaxation ran away: energy or forces not finite, or a cell that burst or collapsed."""


class LostWorkerError(RelaxationError):
    """Every process that took up a crystal vanished while it relaxed it."""


class TiltError(RelaxationError):
    """A cell that cannot hold a pattern of octahedral tilts."""


class CalculationInputError(QperovError):
    """Inputs of a DFT calculation cannot be written as asked."""


class MissingReferenceError(QperovError):
    """An energy has no reference that it could be compared with."""


class DivergedTrainingError(QperovError):
    """The loss of a network is no longer a finite number."""


class LatentSpaceError(QperovError):
    """Latent codes that cannot be interpolated, sampled or searched from."""


class HardwareError(QperovError):
    """A run on a quantum machine cannot go on: the machine, the service, the plan or the ledger says no."""


class AccountError(HardwareError):
    """There is no account for the cloud service, or it is refused."""


class BudgetError(HardwareError):
    """A plan costs more time on the machine than it may."""


class LongComputationWarning(UserWarning):
    """Work in memory (a kernel matrix, symmetry classes) will take over a minute; the message has the ways out."""


class ConcentratedKernelWarning(UserWarning):
    """A kernel matrix is near the identity, or lost in the noise of its shots: a model can remember, not generalise."""


class PublishedFaultWarning(UserWarning):
    """A model runs as it was published, with a fault that makes its predictions worthless; the message names it."""


# --- deprecation --------------------------------------------------------------------------------


def keyword_only(**renamed: str) -> Callable[[Init], Init]:
    """Let a constructor that takes keyword arguments take them as 0.1 did until 0.3, with a warning.

    Positional arguments are given to the keyword-only parameters in their order (FutureWarning), and old names to the
    parameters that they became (DeprecationWarning).

    Parameters
    ----------
    **renamed : str
        Old name = new name.

    Raises
    ------
    TypeError
        From the constructor: more arguments than parameters, or an argument given twice.
    """

    def decorate(init: Init) -> Init:
        parameters = list(signature(init).parameters.values())[1:]
        keywords = [parameter.name for parameter in parameters if parameter.kind is Parameter.KEYWORD_ONLY]
        n_positional = len(parameters) - len(keywords)

        @wraps(init)
        def wrapper(self: Any, *args: Any, **kwargs: Any) -> None:
            extra = dict(zip(keywords, args[n_positional:], strict=False))
            if len(args) > len(parameters) or not extra.keys().isdisjoint(kwargs):
                init(self, *args, **kwargs)
            name = type(self).__name__
            if extra:
                written = ", ".join(f"{keyword}={value!r}" for keyword, value in extra.items())
                warnings.warn(
                    f"positional arguments of {name} are deprecated and go in 0.3: write {written}",
                    FutureWarning,
                    stacklevel=2,
                )
            for old in renamed.keys() & kwargs.keys():
                new = renamed[old]
                if new in kwargs:
                    raise TypeError(f"{name} got both {new} and {old}, its name until 0.2: give {new} alone")
                warnings.warn(
                    f"{old} of {name} is deprecated and goes in 0.3: write {new}={kwargs[old]!r}",
                    DeprecationWarning,
                    stacklevel=2,
                )
                kwargs[new] = kwargs.pop(old)
            init(self, *args[:n_positional], **extra, **kwargs)

        return cast(Init, wrapper)

    return decorate
