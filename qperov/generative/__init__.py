"""Generators of crystals: representations that invert, models trained on them, and a bench that tests their output.

A representation (`representations`) turns crystals into arrays of fixed shape and such arrays back into crystals, all
starting from the same canonical cells. A model (`models`, `imatgen`) learns such arrays, and new crystals are decoded
from points of its latent space; `bench` says how many of them are valid, unique and novel.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
