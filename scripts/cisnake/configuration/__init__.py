"""A run's configuration: completed with the defaults of the schema, and checked before any job starts."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
