"""Model scores on held-out genes and tiles, and the baselines to compare them with."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
