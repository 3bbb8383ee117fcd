"""The keys of the configuration that each program reads.

The table has two purposes. A program receives only the keys in its row. The rule with the same name has those keys that
affect the output as a parameter, so its jobs rerun if one of these changes, and only then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cisnake.configuration.keys import DATABASE, GENES, SOURCES

# Longer values are replaced by a checksum, because Snakemake stores and prints the values that it compares.
MAX_TEXT = 1000


@dataclass(frozen=True)
class ProgramKeys:
    """Keys that a program reads, by dotted name; the name of a section includes all its keys.

    Attributes
    ----------
    deciding: tuple of str
        Keys that affect the output. Paths among them are not compared, because the workflow compares the files.
    other: tuple of str
        Keys that are only checked, that only affect the speed, or whose effect the rule compares in another way.
    """

    deciding: tuple[str, ...] = ()
    other: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """Every key that the program reads."""
        return self.deciding + self.other


# Location of the values and gene ids in the matrix, or in `targets.cells` if that is set.
_MATRIX = ("targets.layer", "targets.gene_column")
_WINDOW = ("windows.upstream", "windows.downstream")
_BINS = ("targets.bin_size", "targets.crop")
_TRANSFORM_OF_TRACKS = (
    *("targets.transform_order", "targets.missing_chromosome", "targets.interpolate_nan"),
    *("targets.blacklist_quantile", "targets.umap_clip"),
)
_MODELS = ("splits.folds", "train.replicates", "resources.batch_size")

PROGRAMS: dict[str, ProgramKeys] = {
    "simulate_inputs": ProgramKeys(("genome.simulate", "run.seed")),
    "aggregate_cells": ProgramKeys(("targets.pseudobulks", *_MATRIX)),
    "fetch_motifs": ProgramKeys(("motifs.source",)),
    "select_genes": ProgramKeys(
        ("annotation", "regions", "windows", "splits", "targets.filters", "targets.task_columns", *_MATRIX),
        # The seed has an effect only with fractions and with background regions.
        ("targets.cells", "attribution.contrasts", "run.seed"),
    ),
    "write_dataset": ProgramKeys(
        ("targets.transform", "targets.library", "windows.max_shift", "splits.folds", *_MATRIX), ("targets.cells",)
    ),
    # The rule compares contrasts, and in coverage runs the settings of `write_coverage`, by params of its own.
    "scout": ProgramKeys(
        (
            *("annotation", "windows", "splits", "targets.filters", "targets.task_columns", "targets.transform"),
            # Background regions are not looked at.
            *("regions.file", "regions.top", "regions.overlaps", *_MATRIX),
        ),
        (
            *("run.name", "run.seed", "run.data_dir", "targets.kind", "targets.cells", "attribution.contrasts"),
            *("model", "train.replicates"),
            *("evaluate.baseline.upstream", "evaluate.baseline.downstream", "resources.threads"),
            *(*_BINS, *_TRANSFORM_OF_TRACKS),
        ),
    ),
    "make_tiles": ProgramKeys(("tiles", "splits", "windows.max_shift", "run.seed", *_WINDOW, *_BINS)),
    # Rules compare the network itself by `network_digest`.
    "check_network": ProgramKeys((*_WINDOW, *_BINS, "model.head", "train.heads"), ("model",)),
    "select_covered_genes": ProgramKeys(
        ("annotation", "regions", "windows", "targets.gene_score", *_BINS), ("run.data_dir", "run.seed")
    ),
    "make_track": ProgramKeys((), ("targets.count", "run.data_dir")),
    "write_coverage": ProgramKeys(
        (
            *_BINS,
            *_TRANSFORM_OF_TRACKS,
            "targets.clip_pct",
            "windows.max_shift",
            "splits.folds",
        ),
        ("targets.gene_score", "run.data_dir"),
    ),
    "fit_words": ProgramKeys(("windows.upstream",)),
    "add_words": ProgramKeys(("train.replicates",), ("resources.batch_size",)),
    # Of the contrasts, the rule compares those that the loss names.
    "train_model": ProgramKeys(
        ("run.seed", "train.heads"), ("model", "train.trackers", "train.contrasts", "attribution.contrasts", "resources.gpus")
    ),
    "import_model": ProgramKeys(("model.head",), ("model", "targets.kind")),
    "fit_baselines": ProgramKeys(("evaluate.baseline", "evaluate.splits", "windows.upstream", "attribution.contrasts")),
    "evaluate_model": ProgramKeys(("attribution.contrasts", "model.trained_on"), (*_MODELS, "model")),
    "evaluate_coverage": ProgramKeys(("evaluate.baseline.k", "evaluate.baseline.counts", "evaluate.baseline.alpha"), _MODELS),
    "export_predictions": ProgramKeys(("targets.gene_column",), ("targets.cells",)),
    "attribute_genes": ProgramKeys(("attribution", "run.seed"), _MODELS),
    "collect_attributions": ProgramKeys((), ("attribution.n_shards",)),
    "call_peaks": ProgramKeys(("peaks",)),
    "scan_motifs": ProgramKeys(("motifs.p_threshold", "motifs.gc_classes", "attribution.genes")),
    "enrich_motifs": ProgramKeys(("motifs.flank", "run.seed")),
    "cluster_motifs": ProgramKeys((), ("attribution.contrasts",)),
    "probe_motifs": ProgramKeys(("motifs.probe", "run.seed"), _MODELS),
    "match_factors": ProgramKeys(("attribution.contrasts",)),
    "pair_motifs": ProgramKeys(("motifs.pairs", "run.seed")),
    "discover_patterns": ProgramKeys(("motifs.patterns.width", "motifs.patterns.max_seqlets", "run.seed")),
    "score_variants": ProgramKeys(("variants.controls", "run.seed"), _MODELS),
    # The motifs and their backgrounds are those of the scan.
    "explain_variants": ProgramKeys(
        (
            *("variants.explained", "attribution.contrasts", "attribution.method", "attribution.correct_mean"),
            *("attribution.baseline", "attribution.n_steps", "attribution.tolerance", "attribution.n_shuffles"),
            *("attribution.n_samples", "attribution.sample_prob", "attribution.seed", "attribution.reverse_complement"),
            "attribution.shifts",
        ),
        _MODELS,
    ),
    "measure_recovery": ProgramKeys((), ("attribution.contrasts",)),
    "write_report": ProgramKeys(("report", "genome.organism", "targets.unit"), ("run.name",)),
    "write_cards": ProgramKeys((), ("evaluate.splits",)),
    "write_browser_files": ProgramKeys(("genome.assembly",), ("run.name", "run.data_dir", "attribution.contrasts")),
}

# Options of each method. The options of methods that are not chosen do not affect the output.
_OF_METHODS: dict[str, dict[str, tuple[str, ...]]] = {
    "attribution": {
        "input_x_gradient": ("correct_mean",),
        "saliency": ("correct_mean",),
        "integrated_gradients": ("baseline", "n_steps", "tolerance"),
        "expected_integrated_gradients": ("n_steps", "n_shuffles", "seed", "tolerance"),
        "smoothgrad": ("correct_mean", "n_samples", "sample_prob", "seed"),
        "in_silico_mutagenesis": ("correct_mean",),
    },
    "peaks": {
        "recursive_seqlets": ("threshold", "min_length", "max_length"),
        "find_attr_peaks": ("n", "min_dist", "height"),
        "tfmodisco_seqlets": ("window", "flank", "precision"),
    },
}


def chosen_options(section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the method chosen in a section.

    Parameters
    ----------
    section: str
        "attribution" or "peaks".
    values: mapping
        Keys and values of the section.

    Examples
    --------
    >>> chosen_options("peaks", {"method": "find_attr_peaks", "n": 5, "min_dist": 6, "height": 3.0, "flank": 10})
    {'n': 5, 'min_dist': 6, 'height': 3.0}
    """
    return {option: values[option] for option in _OF_METHODS[section][values["method"]]}


def deciding(config: Mapping[str, Any], program: str) -> dict[str, Any]:
    """Return the part of the configuration that affects the output of a program.

    Parameters
    ----------
    config: mapping
        As `complete` returns it.
    program: str
        A key of `PROGRAMS`.

    Returns
    -------
    dict
        Nested like the configuration, with defaults. Options of methods and transforms that are not chosen are left out; so are
        paths and URLs, because the workflow compares the files.
    """
    picked: dict[str, Any] = {}
    for key in PROGRAMS[program].deciding:
        *sections, last = key.split(".")
        source: Mapping[str, Any] = config
        target: dict[str, Any] = picked
        for section in sections:
            source = source[section]
            target = target.setdefault(section, {})
        if last in source:
            target[last] = dict(source[last]) if isinstance(source[last], Mapping) else source[last]
    for section, methods in _OF_METHODS.items():
        if "method" in picked.get(section, {}):
            unused = {option for options in methods.values() for option in options} - set(methods[picked[section]["method"]])
            picked[section] = {key: value for key, value in picked[section].items() if key not in unused}
    if "cpm" not in str(picked.get("targets", {}).get("transform")):
        picked.get("targets", {}).pop("library", None)
    of_fractions = program in ("select_genes", "scout") and {"val_fraction", "test_fraction"} & config["splits"].keys()
    of_background = program in ("select_genes", "select_covered_genes") and config["regions"]["negatives"]
    if of_fractions or of_background:
        picked["run"] = {"seed": config["run"]["seed"]}
    if "cells" in config["targets"] and program != "aggregate_cells":
        for key in _MATRIX:
            picked.get("targets", {}).pop(key.partition(".")[2], None)
    return _without_paths(picked)


def _without_paths(picked: dict[str, Any]) -> dict[str, Any]:
    for section, key in SOURCES:
        picked.get(section, {}).pop(key, None)
    for section, key, is_name in (
        ("motifs", "source", lambda value: value.startswith(DATABASE)),
        ("attribution", "genes", lambda value: value in GENES),
    ):
        if key in picked.get(section, {}) and not is_name(picked[section][key]):
            picked[section][key] = "of a file"
    if "heads" in picked.get("train", {}):
        picked["train"]["heads"] = [head["name"] for head in picked["train"]["heads"]]
    return picked


def canonical(value: Any) -> str:
    """Return a value as JSON with sorted keys, or its SHA-256 if the text is long.

    Examples
    --------
    >>> canonical({"b": 1, "a": [2.5, None]})
    '{"a":[2.5,null],"b":1}'
    >>> len(canonical({"tasks": ["task"] * 1000}))
    64
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text if len(text.encode()) <= MAX_TEXT else hashlib.sha256(text.encode()).hexdigest()
