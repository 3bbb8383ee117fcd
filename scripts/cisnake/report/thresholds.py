"""Up to which q-value a motif, or a single peak, is believed."""

ENRICHED_Q = 0.05
"""A motif is called enriched up to this q-value."""

SURE_Q = 0.1
"""A single peak is sure up to this q-value."""
