"""Sequence-to-function models in regulatory genomics: data, models, evaluation, interpretation, variants, report."""

__version__ = "0.1.0"
