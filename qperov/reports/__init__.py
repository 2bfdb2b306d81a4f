"""Reports: figures, maps and one self-contained page, all from a record alone."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
