"""Models given to a program as files, or as a folder whose content follows from the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cisnake import configuration
from cisnake.errors import InputError
from cisnake.program import find_models
from cisnake.sections import Sections, as_section


def sections(folds: int | None, replicates: int) -> Sections:
    values: dict[str, Any] = {"splits": {"folds": folds}, "train": {"replicates": replicates}}
    return as_section(Sections, values, ["splits.folds", "train.replicates"])


def test_models_of_a_folder_are_those_of_the_configuration(tmp_path: Path) -> None:
    made = [tmp_path / f"fold_{i}" / f"replicate_{j}" / "model.keras" for i in range(3) for j in range(2)]
    for path in made:
        path.parent.mkdir(parents=True)
        path.write_text("")
    assert find_models([tmp_path], sections(3, 2)) == made
    # Models left by an earlier run with more replicates are not used.
    assert find_models([tmp_path], sections(None, 1)) == made[:1]
    assert find_models(made[2:4], sections(None, 1)) == made[2:4]
    with pytest.raises(InputError, match=r"fold_0/replicate_2/model\.keras does not exist .*train\.replicates: 3"):
        find_models([tmp_path], sections(3, 3))


def test_every_program_with_models_reads_their_number() -> None:
    scripts = Path(configuration.ROOT) / "scripts"
    asking = [path.stem for path in scripts.glob("*.py") if "add_model_options(p)" in path.read_text()]
    assert len(asking) >= 5
    for name in asking:
        assert {"splits.folds", "train.replicates", "resources.batch_size"} <= set(configuration.PROGRAMS[name].all)
