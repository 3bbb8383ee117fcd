"""The training section: learning curves, best epochs and model parameters."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from cisnake.report import figures
from cisnake.report.results import Training
from cisnake.report.words import DASH

BEST_SCORES = ("epoch", "loss", "val_loss", "val_pearsonr", "val_r2")


def show_training(trainings: list[Training]) -> dict[str, Any]:
    """Return the data for training.html: one row per model, learning curves and parameters."""
    here = [training for training in trainings if training.history is not None]
    return {
        "rows": [_row(training.name, training.history) for training in here if training.history is not None],
        "curves": figures.draw_learning(here) if here else "",
        "given": [
            (training.name, origin, _about(origin.get("card", {})))
            for training in trainings
            if training.history is None and (origin := training.parameters["trained_elsewhere"])
        ],
        "parameters": _parameters(trainings),
    }


def _about(card: dict[str, Any]) -> str:
    parts = {"source": "", "licence": "Licence: ", "held_out": "Not trained on: "}
    return ". ".join(f"{start}{card[key]}" for key, start in parts.items() if key in card)


def _row(name: str, history: pd.DataFrame) -> dict[str, Any]:
    best = history[history["best"]].tail(1)
    return {
        "name": name,
        "epochs": len(history),
        "minutes": history["seconds"].sum() / 60,
        **{key: best[key].iloc[0] if len(best) else None for key in BEST_SCORES},
    }


def _parameters(trainings: list[Training]) -> list[tuple[str, str]]:
    """Return each key with its value, or with one value per model where they differ."""
    flat = [flatten_params(training.parameters) for training in trainings]
    rows = []
    for key in dict.fromkeys(key for parameters in flat for key in parameters):
        values = [parameters.get(key, DASH) for parameters in flat]
        rows.append((key, values[0] if len(set(values)) == 1 else ", ".join(values)))
    return rows


def flatten_params(value: Any, prefix: str = "") -> dict[str, str]:
    """Flatten nested mappings: join keys with dots, and write values as JSON; lists are not flattened.

    Examples
    --------
    >>> flatten_params({"train": {"seed": 1, "optimizer": {"name": "adam"}}, "folds": [0, 1]})
    {'train.seed': '1', 'train.optimizer.name': '"adam"', 'folds': '[0, 1]'}
    """
    if isinstance(value, dict) and value:
        parts = (flatten_params(item, f"{prefix}.{key}" if prefix else str(key)) for key, item in value.items())
        return {key: text for part in parts for key, text in part.items()}
    return {prefix: json.dumps(value, ensure_ascii=False, default=str)}
