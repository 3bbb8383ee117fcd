"""What follows for the workflow from the network and training parameters."""

from __future__ import annotations

from typing import Any

import pytest

from cisnake.configuration import checks, completion
from cisnake.configuration.network import learned_contrasts, standardizes, uses_words
from cisnake.errors import InputError

SIMULATED = {
    "run": {"name": "try"},
    "genome": {"simulate": {"groups": [{"name": name, "n_tasks": 2, "activators": []} for name in ("root", "leaf")]}},
    "targets": {},
    "splits": {"val": ["chr3"], "test": ["chr4"]},
    "model": {"params": "config/models/small.yaml"},
    "attribution": {"contrasts": {"root": {"on_tasks": ["root"]}, "leaf": {"on_tasks": ["leaf"]}}},
}


def completed(**sections: Any) -> dict[str, Any]:
    return completion.complete(SIMULATED | sections)


def test_words_need_standardised_labels_and_consent() -> None:
    assert uses_words(completed()) and standardizes(completed())
    assert not uses_words(completed(train={"words": False})) and standardizes(completed(train={"words": False}))
    poisson = {"params": "config/models/small.yaml", "overrides": {"train.loss": "poisson"}}
    assert not uses_words(completed(model=poisson)) and not standardizes(completed(model=poisson))


def test_only_contrasts_that_the_loss_names_are_learned() -> None:
    assert learned_contrasts(completed()) == {}
    learned = learned_contrasts(completed(train={"contrasts": ["leaf"]}))
    assert list(learned) == ["leaf"] and learned["leaf"]["on_tasks"] == ["leaf"]


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        ({"train": {"contrasts": ["roots"]}}, "unknown contrast in train.contrasts 'roots': did you mean root"),
        (
            {
                "train": {"contrasts": ["root"]},
                "model": {"params": "config/models/small.yaml", "overrides": {"train.loss": "poisson"}},
            },
            "train.contrasts is only for expression runs with a network whose loss is mse or mse_udot",
        ),
    ],
)
def test_contrasts_that_cannot_be_learned_are_refused(sections: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError) as caught:
        checks.prepare(SIMULATED | sections)
    assert problem in str(caught.value)


def test_coverage_runs_have_no_words() -> None:
    config = completed()
    assert not uses_words(config | {"targets": {"kind": "coverage"}})
