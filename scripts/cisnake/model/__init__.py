"""Networks, losses, metrics and their training."""

from collections.abc import Callable

import numpy as np

# From codes (n, length), mask_start (n,) and mask_end (n,) of windows to predictions (n, tasks).
Predictor = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
