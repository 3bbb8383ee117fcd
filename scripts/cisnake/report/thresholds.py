"""Thresholds on q-values for motifs and for single peaks."""

ENRICHED_Q = 0.05
"""A motif is called enriched if its q-value is at most this."""

SURE_Q = 0.1
"""A single peak is called confident if its q-value is at most this."""
