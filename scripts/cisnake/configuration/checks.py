"""What the schema cannot say of a configuration, checked before any job starts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from cisnake.configuration.keys import DATABASE, EACH_GROUP, GENES, SOURCES, listed
from cisnake.configuration.task_table import known_tasks
from cisnake.data.coverage import CountSettings, check_counting, read_tracks
from cisnake.data.genome import fits
from cisnake.data.matrix import describes_tasks, is_market, market_files
from cisnake.data.simulation import check_settings
from cisnake.errors import InputError, unknown_name
from cisnake.interpret import resolve_contrast
from cisnake.model import read_params
from cisnake.sections import ContrastSection, SimulateSection, as_section


def check(config: dict[str, Any]) -> None:
    """Check what the schema cannot say, as far as it can be known before any job runs.

    Parameters
    ----------
    config: dict
        As `complete` returns it.

    Raises
    ------
    InputError
        Lists every problem found.
    """
    problems = list(_problems(config))
    if problems:
        raise InputError(listed(problems))


def _problems(config: dict[str, Any]) -> Iterator[str]:
    simulated = "simulate" in config["genome"]
    if simulated == ("fasta" in config["genome"]):
        yield "genome needs exactly one of fasta and simulate"
    coverage = config["targets"]["kind"] == "coverage"
    if simulated:
        for section, key in SOURCES:
            if key in config[section] and (section, key) != ("splits", "genes"):
                yield f"{section}.{key} is given, but genome.simulate makes its own: remove one of them"
    else:
        for section, key in (("annotation", "gtf"), ("targets", "tracks" if coverage else "matrix")):
            if key not in config[section] and not (key == "matrix" and "cells" in config["targets"]):
                yield f"{section} lacks {key}"
    yield from _problems_of_coverage(config) if coverage else _problems_of_expression(config)
    for section, key in SOURCES:
        value = config[section].get(key)
        if isinstance(value, str) and not Path(value).is_file():
            yield f"{section}.{key}: {value} is not there"
    source, genes = config["motifs"]["source"], config["attribution"]["genes"]
    if not source.startswith(DATABASE) and not Path(source).is_file():
        yield f"motifs.source: {source} is not there"
    if genes not in GENES and not Path(genes).is_file():
        yield f"attribution.genes: {genes} is not there; it is all, held_out, or a file"
    windows, baseline = config["windows"], config["evaluate"]["baseline"]
    for side in ("upstream", "downstream"):
        if baseline[side] > windows[side]:
            yield f"evaluate.baseline.{side} is {baseline[side]}, more than windows.{side}, {windows[side]}"
    if baseline["upstream"] + baseline["downstream"] < baseline["k"]:
        yield "evaluate.baseline: upstream and downstream leave no room for a word of k bases"
    if config["resources"]["nodes"] > 1 and shutil.which("srun") is None:
        yield f"resources.nodes is {config['resources']['nodes']}, but there is no srun here: several nodes need SLURM"
    if config["peaks"]["min_length"] > config["peaks"]["max_length"]:
        yield "peaks.min_length is above peaks.max_length"
    if config["peaks"]["max_q"] < 1 and not config["attribution"]["null_windows"]:
        yield (
            f"peaks.max_q is {config['peaks']['max_q']}, but without shuffled windows peaks have no q-values: raise "
            "attribution.null_windows, or set peaks.max_q to 1"
        )
    if config["motifs"]["patterns"]["discover"] and not config["attribution"]["hypothetical"]:
        yield "motifs.patterns.discover needs attribution.hypothetical: true"
    yield from _problems_of_model(config)
    yield from _problems_of_names(config, simulated)


def _problems_of_expression(config: dict[str, Any]) -> Iterator[str]:
    for section, key in (
        ("targets", "tracks"),
        ("targets", "blacklist"),
        ("targets", "unmappable"),
        ("splits", "val_fraction"),
    ):
        if key in config[section]:
            yield f"{section}.{key} is for targets.kind coverage: set that, or remove it"
    targets = config["targets"]
    yield from _problems_of_matrix(targets)
    for key in ("matrix", "cells"):
        if isinstance(targets.get(key), dict) and is_market(targets[key]["url"]):
            yield f"targets.{key}: a Matrix Market file needs two others beside it, so that a single address is not enough"
    if "cells" not in targets:
        if "cell_table" in targets or targets["pseudobulks"]["by"]:
            yield "targets.cell_table and targets.pseudobulks are of targets.cells, which is not given"
        return
    if "matrix" in targets:
        yield "targets needs exactly one of matrix and cells"
    if not targets["pseudobulks"]["by"]:
        yield "targets.cells are summed to pseudobulks: name the annotations to sum by in targets.pseudobulks.by"


def _problems_of_matrix(targets: dict[str, Any]) -> Iterator[str]:
    """Check what is asked of measurements against the format of their file; simulated ones are a TSV and a table of tasks."""
    given = targets.get("cells") or targets.get("matrix")
    name = urlsplit(given["url"]).path if isinstance(given, dict) else given or ""
    if "layer" in targets and not name.endswith(".h5ad"):
        yield f"targets.layer is {targets['layer']}, but only .h5ad files have layers: remove it"
    table = "tasks" in targets or "cells" in targets or not name or describes_tasks(name)
    if targets["task_columns"] and not table:
        yield "targets.task_columns names columns of a table of tasks, but there is none: give targets.tasks, or remove it"
    if "cells" in targets and isinstance(given, str) and is_market(given) and Path(given).is_file():
        try:
            market_files(given)
        except InputError as error:
            yield str(error)


def _problems_of_coverage(config: dict[str, Any]) -> Iterator[str]:
    targets, windows = config["targets"], config["windows"]
    if "simulate" in config["genome"]:
        yield "genome.simulate makes expression, not coverage: leave targets.kind out"
    for key, value in {
        **{f"targets.{key}": targets.get(key) for key in ("matrix", "layer", "gene_column", "cells", "cell_table", "tasks")},
        "targets.task_columns": targets["task_columns"],
        "targets.pseudobulks": targets["pseudobulks"]["by"],
        "targets.filters": any(targets["filters"].values()),
        "splits.genes": config["splits"].get("genes"),
    }.items():
        if value:
            yield f"{key} is for targets.kind expression: remove it"
    if targets["transform"] != "none":
        yield "targets.transform is for expression: for coverage, sum_stat, scale and clip_soft stand in the table of tracks"
    if windows["max_shift"] > targets["bin_size"] / 2:
        yield (
            f"windows.max_shift is {windows['max_shift']}, but bins stay where they are when training moves a window: it must "
            f"be at most half of targets.bin_size ({targets['bin_size']})"
        )
    own = targets["gene_score"]
    for side in ("upstream", "downstream"):
        room = windows[side] - targets["crop"]
        if (own["region"], windows["anchor"]) == ("tss", "tss") and own[side] > room:
            yield f"targets.gene_score.{side} is {own[side]}, but windows have bins only up to {room} bp {side} of the TSS"
    if "val_fraction" in config["splits"] and config["splits"]["val_fraction"] + config["splits"]["test_fraction"] >= 1:
        yield "splits.val_fraction and splits.test_fraction leave nothing to train on"
    length = windows["upstream"] + windows["downstream"]
    if config["tiles"]["break_length"] < length:
        yield f"tiles.break_length is {config['tiles']['break_length']}, shorter than windows, {length} bp"
    if (length - 2 * targets["crop"]) % targets["bin_size"] or length <= 2 * targets["crop"]:
        yield (
            f"bins of {targets['bin_size']} bp (targets.bin_size) do not fill windows of {length} bp less {targets['crop']} at "
            "either end (targets.crop): change one of them"
        )
    if "tracks" in targets and not Path(targets["tracks"]).is_file():
        yield f"targets.tracks: {targets['tracks']} is not there"


def counting(track: pd.Series, common: dict[str, Any]) -> dict[str, Any]:
    """Return what is counted of a track that is no BigWig: what its row of the table says, else what all have in common.

    Parameters
    ----------
    track: pandas.Series
        A row of `tracks.read_tracks`.
    common: dict
        Section `targets.count`.
    """
    own = {key: track[key] for key in ("count", "strand") if track[key]}
    if track["format"] == "bed":
        return own
    # Ends of fragments are moved, not reads.
    unmoved = ("shift", "extend") if own.get("count") == "reads" else ()
    return {key: value for key, value in (common | own).items() if key not in unmoved}


def _problems_of_counting(tracks: pd.DataFrame, common: dict[str, Any]) -> Iterator[str]:
    for _, track in tracks[tracks["format"] != "bigwig"].iterrows():
        try:
            check_counting(track["format"], CountSettings.from_dict(counting(track, common)))
        except InputError as error:
            yield f"track {track['identifier']}: {error}"


def pretrained(config: dict[str, Any]) -> list[str]:
    """Return the file of weights that training starts from, as a list of one or none."""
    params = read_params(config["model"]["params"], config["model"]["overrides"])
    weights = params.get("transfer", {}).get("weights")
    return [weights] if weights else []


def _problems_of_model(config: dict[str, Any]) -> Iterator[str]:
    try:
        params = read_params(config["model"]["params"], config["model"]["overrides"])
    except InputError as error:
        yield f"model.params: {error}"
        return
    weights = params.get("transfer", {}).get("weights")
    if weights and not Path(weights).is_file():
        yield f"transfer.weights of {config['model']['params']} is {weights}, which does not exist"
    length = config["windows"]["upstream"] + config["windows"]["downstream"]
    asked = params["model"].get("seq_length", length)
    if config["targets"]["kind"] == "coverage" and params["model"].get("seq_depth", 4) != 4:
        yield (
            f"{config['model']['params']} has seq_depth {params['model']['seq_depth']}, but tiles of the genome have no gene "
            "body to be a fifth channel: leave seq_depth out"
        )
    if asked != length:
        yield f"{config['model']['params']} has seq_length {asked}, but windows have {length} bases: change one of them"


def _problems_of_names(config: dict[str, Any], simulated: bool) -> Iterator[str]:
    """Names of chromosomes and tasks, where the files that have them are there already."""
    chromosomes: list[str] = []
    if simulated:
        try:
            settings = as_section(SimulateSection, config["genome"]["simulate"])
            check_settings(settings)
        except InputError as error:
            yield str(error)
            return
        chromosomes = [f"chr{i}" for i in range(1, settings.n_chromosomes + 1)]
    else:
        fasta = config["genome"].get("fasta")
        index = Path(f"{fasta}.fai")
        # One of another file would refuse chromosomes that are there; whoever reads the genome makes it again.
        if isinstance(fasta, str) and fits(index, Path(fasta)):
            chromosomes = [line.split("\t")[0] for line in index.read_text(encoding="utf-8").splitlines()]
    try:
        table = known_tasks(config)
        if Path(config["targets"].get("tracks", "")).is_file():
            tracks = read_tracks(config["targets"]["tracks"], config["run"].get("data_dir", "."))
            yield from _problems_of_counting(tracks, config["targets"]["count"])
    except InputError as error:
        yield str(error)
        table = None
    for key in ("val", "test"):
        for chrom in config["splits"].get(key, []) if chromosomes else []:
            if chrom not in chromosomes:
                yield str(unknown_name(f"chromosome in splits.{key}", chrom, chromosomes))
    both = set(config["splits"].get("val", [])) & set(config["splits"].get("test", []))
    if both:
        yield f"splits.val and splits.test both have {sorted(both)[0]}"
    contrasts = config["attribution"]["contrasts"]
    if contrasts == EACH_GROUP:
        yield (
            "attribution.contrasts is each_group, but the groups of tasks are not known before the run: they are in a file "
            "that is missing, remote, or made by the run; list the contrasts"
        )
        return
    for name, section in contrasts.items() if table is not None else ():
        try:
            resolve_contrast(name, as_section(ContrastSection, section), table)
        except InputError as error:
            yield str(error)
