"""Cards of genes: what the report shows of one gene in one contrast, read, packed for the page, and written beside it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
