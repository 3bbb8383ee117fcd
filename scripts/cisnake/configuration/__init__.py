"""A run's configuration: completed from the schema, and checked as a whole before any job starts."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
