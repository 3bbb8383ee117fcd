"""What a run found: what the page of the report is made of, and how much of a simulated truth was recovered."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
