"""Networks, losses, metrics and their training."""

from collections.abc import Callable

import numpy as np

# From codes (n, length), mask_start (n,), mask_end (n,) of windows, and rows (n,) of their genes in the data set, to one value
# for each gene and task, (n, tasks).
Predictor = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
