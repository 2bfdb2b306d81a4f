"""Quantum kernels, their diagnosis and repair, kernel machines, and the quantum autoencoder."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
