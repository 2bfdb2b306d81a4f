"""Numbers as a reader wants them: as many digits as their interval bears, true minus signs, a dash for nothing."""

from __future__ import annotations

import math


def decimals(value: float, low: float, high: float) -> int:
    """Decimals that fit a 95 % interval: a step of the last one is between 1/60 and 1/6 of its width."""
    width = high - low
    scale = width / 6 if math.isfinite(width) and width > 0 else abs(value) / 100
    if not math.isfinite(scale) or scale == 0:
        return 3
    return min(max(-math.floor(math.log10(scale)), 0), 8)


def fixed(value: float, places: int, *, sign: bool = False) -> str:
    """``value`` with so many decimals, a true minus sign, and a dash for NaN."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:+.{places}f}" if sign else f"{value:.{places}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def significant(value: float | None, digits: int = 3) -> str:
    """``value`` with so many significant digits; powers of ten outside 1e-4 … 1e6."""
    if value is None or not math.isfinite(value) or value == 0:
        return "0" if value == 0 else fixed(math.nan if value is None else value, 0)
    exponent = math.floor(math.log10(abs(value)))
    if -4 <= exponent < 6:
        return fixed(value, max(digits - 1 - exponent, 0))
    return f"{value:.{digits - 1}e}".replace("-", "−")


def probability(p: float) -> str:
    """A p-value: "< 0.001" below that."""
    return "–" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def chance(p: float) -> str:
    """A probability with two decimals; never a certainty that it is not."""
    if math.isnan(p):
        return "–"
    return "< 0.01" if p < 0.01 else "> 0.99" if p > 0.99 else f"{p:.2f}"


def equals(p: float) -> str:
    """A p-value as it follows its symbol: "= 0.03" or "< 0.001"."""
    text = probability(p)
    return text if text.startswith("<") else f"= {text}"
