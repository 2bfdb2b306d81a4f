"""Records of runs: what was compared, on what, with which versions and seeds, and what came out."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
