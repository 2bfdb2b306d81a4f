"""Datasets of crystals: read from files, embedded, kept in a store, fetched from databases."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
