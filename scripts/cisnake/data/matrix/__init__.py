"""Measurements of genes: a matrix, its filters and its transform."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
