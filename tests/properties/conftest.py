"""Properties are tested on the same examples in every run; `HYPOTHESIS_PROFILE=search` searches longer for new ones."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Every example overwrites the files of the previous one.
_SHARED = {"deadline": None, "database": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}
settings.register_profile("same", derandomize=True, max_examples=100, **_SHARED)
settings.register_profile("search", max_examples=5000, **_SHARED)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
