"""The report of a run, files for genome browsers, and how well a run recovers a simulated truth."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
