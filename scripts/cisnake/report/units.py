"""The unit of labels, and so of predictions, attributions and effects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TRANSFORMED = {
    "log1p": "ln(1 + {})",
    "zscore": "standard deviations of {} over genes",
    "cpm": "counts per million",
    "log1p_cpm": "ln(1 + counts per million)",
    "log2_cpm": "log2(1 + counts per million)",
}


def label_unit(config: Mapping[str, Any] | None) -> str:
    """Return the unit of the labels of genes in words; empty if it is not known.

    Parameters
    ----------
    config: mapping, optional
        Complete configuration of the run. None: not known.

    Examples
    --------
    >>> label_unit({"genome": {}, "targets": {"kind": "expression", "transform": ["log2_cpm", "zscore"]}})
    'standard deviations of log2(1 + counts per million) over genes'
    """
    if config is None:
        return ""
    targets = config["targets"]
    if targets.get("kind") == "coverage":
        return "log2(1 + coverage)"
    unit = targets.get("unit") or ("ln(expression)" if "simulate" in config["genome"] else "")
    transforms = targets.get("transform", "none")
    for name in [transforms] if isinstance(transforms, str) else transforms:
        if name in _TRANSFORMED:
            unit = _TRANSFORMED[name].format(unit or "the measurement")
    return unit
