"""Intervals for shares, and for differences of two shares."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.stats import norm


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval.

    Attributes
    ----------
    value, low, high : float
    """

    value: float
    low: float
    high: float


def wilson(count: int, total: int, level: float = 0.95) -> Interval:
    r"""Share p = count / total with Wilson's score interval.

    .. math:: \frac{p + z^2/2n \pm z \sqrt{p(1-p)/n + z^2/4n^2}}{1 + z^2/n}

    It holds its level for shares near 0 and 1 too, and never leaves [0, 1].

    Raises
    ------
    ValueError
        If there is nothing to count, or the count is not between 0 and the total.

    References
    ----------
    E. B. Wilson, J. Am. Stat. Assoc. 22, 209 (1927), doi:10.1080/01621459.1927.10502953.
    """
    if not 0 <= count <= total or total == 0:
        raise ValueError(f"{count} of {total} is no share")
    if not 0 < level < 1:
        raise ValueError(f"the level must lie between 0 and 1, not {level:g}")
    z = float(norm.ppf((1 + level) / 2))
    share = count / total
    middle = share + z**2 / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    scale = 1 + z**2 / total
    # at 0 and 1 the interval ends there exactly; rounding must not move the end
    low = 0.0 if count == 0 else (middle - half) / scale
    high = 1.0 if count == total else (middle + half) / scale
    return Interval(share, low, high)


def newcombe(count_a: int, total_a: int, count_b: int, total_b: int, level: float = 0.95) -> Interval:
    r"""Difference of two independent shares p_a − p_b with Newcombe's hybrid score interval.

    .. math:: d - \sqrt{(p_a - l_a)^2 + (u_b - p_b)^2}, \quad d + \sqrt{(u_a - p_a)^2 + (p_b - l_b)^2}

    with Wilson's limits (l, u) of each share: his method 10.

    Raises
    ------
    ValueError
        As :func:`wilson`.

    References
    ----------
    R. G. Newcombe, Stat. Med. 17, 873 (1998), doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I.
    """
    a, b = wilson(count_a, total_a, level), wilson(count_b, total_b, level)
    difference = a.value - b.value
    below = math.hypot(a.value - a.low, b.high - b.value)
    above = math.hypot(a.high - a.value, b.value - b.low)
    return Interval(difference, difference - below, difference + above)
