"""Stored models: kept, read without running code, asked about other crystals."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
