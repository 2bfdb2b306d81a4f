"""Quantum models: an exact batched simulator, kernels on it, and regressors that use them."""

from __future__ import annotations
