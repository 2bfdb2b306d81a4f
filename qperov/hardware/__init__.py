"""Quantum machines: what a run costs, its submission, its survival, its results.

A measurement (circuit and bindings) is compiled and priced into a plan (`plan`); `jobs` submits it through a service
(`services`: IBM's, or a simulator on this machine) and writes each step into a ledger before and after it is taken;
from the counts come kernel entries, Bloch vectors or losses. A `Backend` does all of it at once for a kernel.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
