"""Honest comparison of models: grouped folds, searches, intervals, tests."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
