"""Cards and tables as text that a web browser unpacks: compact JSON, compressed with gzip, as base64."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import numpy as np
import pandas as pd

from cisnake.report.cards.card import Card

# Scores are stored as integer multiples of the largest one divided by this.
STEPS = 9999


def pack_card(card: Card) -> str:
    """Return a card as packed text: 2 to 3 kB for a window of 600 bases, two to five bytes per base for longer ones."""
    step = float(np.abs(card.scores).max(initial=0)) / STEPS
    steps = np.rint(card.scores.astype(np.float64) / step).astype(int) if step else np.zeros(len(card.scores), int)
    tables = {name: _columns(getattr(card, name)) for name in ("peaks", "hits", "variants", "genes", "tasks")}
    return pack_json(
        {
            "contrast": card.contrast, "gene": {key: _plain(value) for key, value in card.gene.items()}, "chrom": card.chrom,
            "start": card.start, "end": card.end, "focus": card.focus, "sequence": card.sequence,
            "step": float(f"{step:.7g}"), "scores": steps.tolist(), **tables,
        }
    )  # fmt: skip


def pack_table(table: pd.DataFrame) -> str:
    """Return a table as packed text: an object with the columns and the rows; floats have four significant digits."""
    return pack_json(_columns(table))


def pack_json(value: Any) -> str:
    """Return a value as packed text. It is base64, so no name in it can close a script element."""
    return pack_bytes(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode())


def pack_bytes(content: bytes) -> str:
    """Return bytes as packed text; the same bytes give the same text."""
    return base64.b64encode(gzip.compress(content, compresslevel=9, mtime=0)).decode("ascii")


def _columns(table: pd.DataFrame) -> dict[str, Any]:
    cells = [
        [_plain(value) for value in table[column]] if pd.api.types.is_float_dtype(table[column]) else table[column].tolist()
        for column in table
    ]
    return {"columns": list(table.columns), "rows": list(zip(*cells, strict=True))}


def _plain(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return float(f"{value:.4g}") if np.isfinite(value) else None
