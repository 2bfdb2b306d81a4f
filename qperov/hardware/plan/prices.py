"""What services charge that ask a fee for each circuit and each shot: a short table, with where it is from and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qperov.errors import BudgetError

if TYPE_CHECKING:
    from qiskit.providers import BackendV2

AMAZON = "https://aws.amazon.com/braket/pricing/, an undated copy, read in November 2026"


@dataclass(frozen=True)
class Price:
    """Fees of a service.

    Attributes
    ----------
    per_task, per_shot : float
        For each circuit that is sent, and for each time that it is run.
    currency : str
    source : str
        Where the fees are from, and when.

    Raises
    ------
    ValueError
        A fee below 0.
    """

    per_task: float
    per_shot: float
    currency: str = "USD"
    source: str = "given by --price"

    def __post_init__(self) -> None:
        if not (self.per_task >= 0 and self.per_shot >= 0):
            raise ValueError(f"fees must not be negative, got {self.per_task} and {self.per_shot}")

    def fees(self, tasks: int, executions: int) -> float:
        """Fees of a number of circuits and of all their shots.

        Examples
        --------
        >>> round(Price(0.3, 0.00145).fees(tasks=100, executions=100 * 1000), 2)
        175.0
        """
        return self.per_task * tasks + self.per_shot * executions


#: Amazon Braket's machines, by a part of their name.
BRAKET = {
    "forte": Price(0.30, 0.08, source=AMAZON),
    "garnet": Price(0.30, 0.00145, source=AMAZON),
    "ankaa": Price(0.30, 0.0009, source=AMAZON),
}


def known_price(backend: BackendV2) -> Price | None:
    """Fees of a backend, if they stand in the table: those of machines behind qiskit-braket-provider."""
    kind = type(backend)
    if kind.__module__.partition(".")[0] != "qiskit_braket_provider" or "Local" in kind.__name__:
        return None
    return next((price for part, price in BRAKET.items() if part in (backend.name or "").lower()), None)


@dataclass(frozen=True)
class Budget:
    """The most that a plan may take, in the service's own unit.

    Attributes
    ----------
    fees : float or None
        In the price's currency.
    shots : int or None
        Of all circuits together.

    Raises
    ------
    ValueError
        Not positive.
    """

    fees: float | None = None
    shots: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("fees", self.fees), ("shots", self.shots)):
            if value is not None and not value > 0:
                raise ValueError(f"a budget of {name} must be positive, got {value}")

    def check(self, executions: int, fees: float | None, currency: str = "") -> None:
        """Raise BudgetError if it would be exceeded, or if nothing is known of the fees that it limits."""
        if self.shots is not None and executions > self.shots:
            raise BudgetError(
                f"it takes {executions:,} shots and the budget is {self.shots:,}: take fewer samples or shots, "
                "landmarks (nystroem), or a projected kernel, whose cost grows with N instead of N²"
            )
        if self.fees is None:
            return
        if fees is None:
            raise BudgetError("the fees of this service are not known: give them with --price TASK,SHOT")
        if fees > self.fees:
            raise BudgetError(
                f"it costs {fees:,.2f} {currency} and the budget is {self.fees:,.2f}: take fewer samples or shots, "
                "landmarks (nystroem), or a projected kernel, whose cost grows with N instead of N²"
            )
