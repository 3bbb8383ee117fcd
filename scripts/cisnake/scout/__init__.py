"""A look at the data before training: how long windows should be, what labels look like, how long training takes."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
