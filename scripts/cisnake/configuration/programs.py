"""Which keys of the configuration each program reads.

One table serves two purposes. A program is given the keys of its row and no others. The rule of its name has their values as a
parameter, so that its jobs run again when one of them changes, and only then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cisnake.configuration.keys import GENES

# Longer values stand for themselves as a checksum: Snakemake stores and prints what it compares.
MAX_TEXT = 1000


# The keys that each program reads, by dotted name; a section stands for all its keys.
PROGRAMS: dict[str, tuple[str, ...]] = {
    "call_peaks": ("peaks",),
    "scan_motifs": ("motifs.p_threshold", "motifs.gc_classes", "attribution.genes"),
    "enrich_motifs": ("motifs.flank", "run.seed"),
    "probe_motifs": ("motifs.probe", "run.seed"),
    "pair_motifs": ("motifs.pairs", "run.seed"),
    "discover_patterns": ("motifs.patterns.width", "motifs.patterns.max_seqlets", "run.seed"),
}

# Options of one method alone: of another they decide nothing.
_OF_METHODS: dict[str, dict[str, tuple[str, ...]]] = {
    "peaks": {
        "recursive_seqlets": ("threshold", "min_length", "max_length"),
        "find_attr_peaks": ("n", "min_dist", "height"),
        "tfmodisco_seqlets": ("window", "flank", "precision"),
    },
}


def deciding(config: Mapping[str, Any], program: str) -> dict[str, Any]:
    """Return what of a configuration decides the output of a program.

    Parameters
    ----------
    config: mapping
        As `complete` returns it.
    program: str
        A key of `PROGRAMS`.

    Returns
    -------
    dict
        Nested like the configuration, with defaults. Options of methods that were not chosen are left out, and so are paths:
        the workflow compares the files.
    """
    picked: dict[str, Any] = {}
    for key in PROGRAMS[program]:
        *sections, last = key.split(".")
        source: Mapping[str, Any] = config
        target: dict[str, Any] = picked
        for section in sections:
            source = source[section]
            target = target.setdefault(section, {})
        value = source[last]
        target[last] = dict(value) if isinstance(value, Mapping) else value
    for section, methods in _OF_METHODS.items():
        for method, options in methods.items():
            if section in picked and method != picked[section]["method"]:
                for option in options:
                    del picked[section][option]
    if "attribution" in picked and picked["attribution"]["genes"] not in GENES:
        picked["attribution"]["genes"] = "of a file"
    return picked


def canonical(value: Any) -> str:
    """Return a value as text that is the same whatever order its keys were written in; a long one as its SHA-256.

    Examples
    --------
    >>> canonical({"b": 1, "a": [2.5, None]})
    '{"a":[2.5,null],"b":1}'
    >>> len(canonical({"tasks": ["task"] * 1000}))
    64
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text if len(text.encode()) <= MAX_TEXT else hashlib.sha256(text.encode()).hexdigest()
