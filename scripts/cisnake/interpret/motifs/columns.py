"""Base class for column-oriented tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np


@dataclass(frozen=True, eq=False)
class Columns:
    """Base class for tables stored as arrays of equal length, one per attribute, with row selection and concatenation.

    Examples
    --------
    >>> import dataclasses
    >>> import numpy as np
    >>> from cisnake.interpret.motifs.columns import Columns
    >>> Spans = dataclasses.make_dataclass("Spans", ["start", "end"], bases=(Columns,), frozen=True, eq=False)
    >>> spans = Spans(np.array([3, 7, 9]), np.array([5, 8, 12]))
    >>> longer = spans[spans.end - spans.start > 1]
    >>> len(longer), Spans.join([longer, spans]).end.tolist()
    (2, [5, 12, 5, 8, 12])
    """

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Concatenate the rows of all parts."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def __getitem__(self, rows: np.ndarray) -> Self:
        """Select rows by a mask or by indices."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))
