"""The rule `scout`, on a simulated genome and from a configuration to advice that is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration


def test_scouting_gives_advice_that_a_run_can_use(
    small: Callable[..., Path], snakemake: Callable[..., str], jobs: Callable[[str], dict[str, int]]
) -> None:
    folder = small(windows={})
    done = snakemake(folder, "scout", "--configfile", "config.yaml")
    assert done.endswith("exit 0"), done
    assert "scout: Recommended window: " in done or "scout: No window predicts" in done
    results = folder / "results" / "small" / "scout"
    assert sorted(path.name for path in results.iterdir()) == ["advice.yaml", "scout.html", "windows.tsv"]
    plan = snakemake(folder, "--dry-run", "--configfile", "config.yaml", results / "advice.yaml")
    # The advice is part of the configuration of the run, which has no need to scout.
    assert jobs(plan)["select_genes"] == 1 and "scout" not in jobs(plan)
