"""Checks of a configuration beyond the schema, before any job starts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from cisnake.configuration.completion import complete_soundly
from cisnake.configuration.heads import find_head_problems
from cisnake.configuration.keys import DATABASE, EACH_GROUP, GENES, ROOT, SOURCES, listed
from cisnake.configuration.network import given_networks, pretrained_weights, standardizes, unmeasured
from cisnake.configuration.soundness import Unsound
from cisnake.configuration.task_table import forget_tracks, known_tasks, known_tracks
from cisnake.data.coverage import CountSettings, check_counting
from cisnake.data.genome import chromosome_of, fits, parse_region
from cisnake.data.matrix import check_kinds, describes_tasks, is_market, market_files
from cisnake.data.simulation import check_settings
from cisnake.data.windows import find_held_out, read_split_regions
from cisnake.errors import InputError, unknown_name
from cisnake.interpret import resolve_contrast
from cisnake.model import find_address, is_torch_file, read_params, read_registry
from cisnake.sections import ContrastSection, SimulateSection, as_section

Config = dict[str, Any]
# Keys that apply to only one kind of targets.
_OF_COVERAGE = (("targets", "tracks"), ("targets", "blacklist"), ("targets", "unmappable"))
_OF_EXPRESSION = (
    *(("targets", key) for key in ("matrix", "layer", "gene_column", "cells", "cell_table", "tasks")),
    *(("targets", key) for key in ("task_columns", "pseudobulks", "filters")),
    ("splits", "genes"),
)
# Keys of splits that each assign everything, and those that assign one split.
_OF_ALL_SPLITS = ("folds", "genes", "regions")
_OF_ONE_SPLIT = ("val", "test", "val_fraction", "test_fraction")
# Stands for the length of a chromosome before the genome is read.
_UNKNOWN_LENGTH = 1 << 32


def prepare(config: Config) -> Config:
    """Complete a configuration as `complete` does, and check it as `check` does.

    Parameters
    ----------
    config: dict
        The configuration, as read from YAML.

    Raises
    ------
    InputError
        Lists all problems, except those that can only be detected once others are fixed.
    """
    completed, problems = complete_soundly(config)
    _refuse([*problems, *_problems(completed)])
    return completed


def check(config: Config) -> None:
    """Check a completed configuration beyond the schema, as far as possible before any job runs.

    Parameters
    ----------
    config: dict
        A configuration returned by `complete`.

    Raises
    ------
    InputError
        Lists all problems.
    """
    forget_tracks()
    _refuse(_problems(config))


def _refuse(problems: list[str]) -> None:
    if problems:
        raise InputError(listed(list(dict.fromkeys(problems))))


def _problems(config: Config) -> list[str]:
    """Return the problems that the checks report; a check ends where it needs an unreliable key."""
    problems: list[str] = []
    for reported in _checks(config):
        try:
            with suppress(Unsound):
                # One by one, to keep the problems that a check reports before it ends.
                for problem in reported:
                    problems.append(problem)
        except InputError as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"{error.filename} cannot be read: {error.strerror}")
    return problems


def _checks(config: Config) -> Iterator[Iterator[str]]:
    """Yield independent checks, so that an invalid key stops as few of them as possible."""
    yield from (_genome(config), _annotation(config), _regions(config), _measurements(config), _unmeasured(config))
    for section, key in SOURCES:
        yield _simulated_source(config, section, key)
    for section, key in _OF_COVERAGE:
        yield _key_of_coverage(config, section, key)
    for section, key in _OF_EXPRESSION:
        yield _key_of_expression(config, section, key)
    for section, key in SOURCES:
        yield _missing_source(config, section, key)
    for function in (
        *(_transform, _keys_of_matrix, _shift, _gene_scores, _fractions, _break_length, _bins, _missing_tracks),
        *(_layer, _task_columns, _market_addresses, _market_names, _cells),
        *(_missing_motifs, _missing_genes, _baseline, _words, _nodes, _lengths_of_peaks, _q_values, _patterns),
        *(_network, _given_networks, _simulation, _forms_of_splits, _held_out, _split_regions, _counts_of_tracks),
        *(_contrasts, _learned_contrasts, _heads),
    ):
        yield function(config)


def _of_coverage(config: Config) -> bool:
    return bool(config["targets"]["kind"] == "coverage")


def _genome(config: Config) -> Iterator[str]:
    if ("simulate" in config["genome"]) == ("fasta" in config["genome"]):
        yield "genome needs exactly one of fasta and simulate"
    if "simulate" in config["genome"] and _of_coverage(config):
        yield "genome.simulate supports only expression, not coverage: remove targets.kind"


def _simulated_source(config: Config, section: str, key: str) -> Iterator[str]:
    if "simulate" in config["genome"] and key in config[section] and section != "splits":
        yield f"{section}.{key} is set, but genome.simulate generates this input: remove one of them"


def _annotation(config: Config) -> Iterator[str]:
    given = ("gtf" in config["annotation"]) + ("file" in config["regions"])
    if "simulate" not in config["genome"] and not given:
        yield "annotation is missing gtf (or, for regions instead of genes, regions is missing file)"
    if given > 1:
        yield "annotation.gtf and regions.file are both set, but a run is of genes or of regions: remove one of them"


def _regions(config: Config) -> Iterator[str]:
    """Check the section `regions`, and keys that have no meaning for regions, which have no start, body or exons."""
    if "file" not in config["regions"]:
        if config["regions"]["negatives"]:
            yield "regions.negatives requires regions.file: background regions are matched to regions; remove the key"
        return
    if config["regions"]["negatives"] and "genes" in config["splits"]:
        yield "regions.negatives draws regions that splits.genes cannot list: split by chromosome, region, fraction or folds"
    if config["windows"]["anchor"] != "tss":
        yield "windows.anchor requires genes: windows of regions lie around the summit or the middle; remove the key"
    if "tss_bed" in config["annotation"]:
        yield "annotation.tss_bed requires annotation.gtf: regions have no TSS; remove the key"
    for key, default in (("feature", "gene"), ("match_by", "gene_id"), ("biotypes", []), ("exclude", {})):
        if config["annotation"][key] != default:
            yield f"annotation.{key} requires annotation.gtf: it is about genes; remove the key"
    region = config["targets"]["gene_score"]["region"]
    if _of_coverage(config) and region != "tss":
        yield f"targets.gene_score.region is {region}, but regions have only bases around their middle: set tss"


def _measurements(config: Config) -> Iterator[str]:
    targets = config["targets"]
    if "simulate" in config["genome"]:
        return
    if _of_coverage(config):
        if "tracks" not in targets:
            yield "targets is missing tracks"
    elif "matrix" not in targets and "cells" not in targets and not unmeasured(config):
        without = " (or, to predict without measurements, remove splits)" if given_networks(config) else ""
        yield f"targets is missing matrix{without}"


def _unmeasured(config: Config) -> Iterator[str]:
    if not unmeasured(config):
        return
    targets = config["targets"]
    if not given_networks(config):
        yield "splits.unmeasured requires trained networks (model.trained): remove it"
    if _of_coverage(config) or {"matrix", "cells"} & targets.keys() or "simulate" in config["genome"]:
        yield "splits.unmeasured is for runs without measurements: give val and test instead"
    elif "tasks" not in targets:
        yield "targets is missing tasks: without a matrix, this table names the tasks of the networks, in their order"
    if targets["transform"] != "none" or any(any(values.values()) for values in targets["filters"].values()):
        yield "targets.transform and targets.filters require targets.matrix: remove them"


def _missing_source(config: Config, section: str, key: str) -> Iterator[str]:
    value = config[section].get(key)
    if isinstance(value, str) and not Path(value).is_file():
        yield f"{section}.{key}: {value} does not exist{_start(value, config)}"


def _start(path: str, config: Config | None = None) -> str:
    """Return a message ending that states to which folder a relative path refers: `run.data_dir` or the working folder."""
    data_dir = config["run"].get("data_dir") if config else None
    folder = Path(data_dir or ".").absolute()
    if os.path.isabs(path) and not (data_dir and Path(path).is_relative_to(folder)):
        return ""
    return f": relative paths refer to {'run.data_dir' if data_dir else 'the working folder'}, {folder}"


# Checks of expression runs


def _key_of_coverage(config: Config, section: str, key: str) -> Iterator[str]:
    if not _of_coverage(config) and key in config[section]:
        yield f"{section}.{key} requires targets.kind coverage: set that, or remove the key"


def _layer(config: Config) -> Iterator[str]:
    """Check that the format of the matrix has layers; simulated matrices are TSV."""
    targets = config["targets"]
    if not _of_coverage(config) and "layer" in targets and not _name_of_matrix(targets).endswith(".h5ad"):
        yield f"targets.layer is {targets['layer']}, but only .h5ad files have layers: remove the key"


def _task_columns(config: Config) -> Iterator[str]:
    targets = config["targets"]
    if _of_coverage(config) or not targets["task_columns"] or "tasks" in targets or "cells" in targets:
        return
    # Simulations write a task table.
    name = _name_of_matrix(targets)
    if name and not describes_tasks(name):
        yield "targets.task_columns is set, but there is no task table: set targets.tasks, or remove the key"


def _name_of_matrix(targets: Config) -> str:
    source = targets.get("cells") or targets.get("matrix")
    return urlsplit(source["url"]).path if isinstance(source, dict) else source or ""


def _market_addresses(config: Config) -> Iterator[str]:
    for key in ("matrix", "cells"):
        source = config["targets"].get(key)
        if not _of_coverage(config) and isinstance(source, dict) and is_market(source["url"]):
            yield f"targets.{key}: a Matrix Market file needs two more files, so a URL is not supported: set a local path"


def _market_names(config: Config) -> Iterator[str]:
    for key in ("matrix", "cells"):
        source = config["targets"].get(key)
        if not _of_coverage(config) and isinstance(source, str) and is_market(source) and Path(source).is_file():
            try:
                market_files(source)
            except InputError as error:
                yield str(error)


def _cells(config: Config) -> Iterator[str]:
    targets = config["targets"]
    if _of_coverage(config):
        return
    if "cells" not in targets:
        if "cell_table" in targets or targets["pseudobulks"]["by"]:
            yield "targets.cell_table and targets.pseudobulks require targets.cells: set it, or remove them"
        return
    if not targets["pseudobulks"]["by"]:
        yield "targets.cells are summed into pseudobulks: set targets.pseudobulks.by to the annotations to group by"
    if "matrix" in targets:
        yield "targets needs exactly one of matrix and cells"


# Checks of coverage runs


def _key_of_expression(config: Config, section: str, key: str) -> Iterator[str]:
    value = config[section].get(key)
    if isinstance(value, dict) and key in ("pseudobulks", "filters"):
        value = value["by"] if key == "pseudobulks" else any(value.values())
    if _of_coverage(config) and value:
        yield f"{section}.{key} requires targets.kind expression: remove the key"


def _transform(config: Config) -> Iterator[str]:
    check_kinds(config["targets"]["transform"])
    if _of_coverage(config) and config["targets"]["transform"] != "none":
        yield "targets.transform requires targets.kind expression: use sum_stat, scale and clip_soft in the table of tracks"


def _keys_of_matrix(config: Config) -> Iterator[str]:
    """Check keys with a default that say how a matrix is read."""
    for section, key, default in (("annotation", "match_by", "gene_id"), ("targets", "library", "matrix")):
        if _of_coverage(config) and config[section][key] != default:
            yield f"{section}.{key} requires targets.kind expression: remove the key"


def _shift(config: Config) -> Iterator[str]:
    shift, size = config["windows"]["max_shift"], config["targets"]["bin_size"]
    if _of_coverage(config) and shift > size / 2:
        yield (
            f"windows.max_shift is {shift}, more than half of targets.bin_size ({size}): training shifts windows but not bins; "
            "reduce windows.max_shift"
        )


def _gene_scores(config: Config) -> Iterator[str]:
    targets, windows = config["targets"], config["windows"]
    score = targets["gene_score"]
    if not _of_coverage(config) or (score["region"], windows["anchor"]) != ("tss", "tss"):
        return
    for side in ("upstream", "downstream"):
        room = windows[side] - targets["crop"]
        if score[side] > room:
            yield f"targets.gene_score.{side} is {score[side]}, but windows have bins only up to {room} bp {side} of the TSS"


def _length(config: Config) -> int:
    return int(config["windows"]["upstream"] + config["windows"]["downstream"])


def _break_length(config: Config) -> Iterator[str]:
    length = _length(config)
    if _of_coverage(config) and config["tiles"]["break_length"] < length:
        yield f"tiles.break_length is {config['tiles']['break_length']}, shorter than the windows ({length} bp): increase it"


def _bins(config: Config) -> Iterator[str]:
    length, size, crop = _length(config), config["targets"]["bin_size"], config["targets"]["crop"]
    if _of_coverage(config) and ((length - 2 * crop) % size or length <= 2 * crop):
        yield (
            f"windows of {length} bp minus {crop} bp at either end (targets.crop) are not a multiple of {size} bp "
            "(targets.bin_size): change one of them"
        )


def _missing_tracks(config: Config) -> Iterator[str]:
    tracks = config["targets"].get("tracks")
    if _of_coverage(config) and tracks is not None and not Path(tracks).is_file():
        yield f"targets.tracks: {tracks} does not exist{_start(tracks, config)}"


def counting(track: Mapping[str, Any] | pd.Series, common: dict[str, Any]) -> dict[str, Any]:
    """Return the count settings of a track that is not a BigWig: those in its row of the table, else the common ones.

    Parameters
    ----------
    track: mapping or pandas.Series
        A row of the table from `read_tracks`.
    common: dict
        The section `targets.count`.
    """
    specific = {key: track[key] for key in ("count", "strand") if track[key]}
    if track["format"] == "bed":
        return specific
    # Only the ends of fragments can be shifted or extended, not reads.
    excluded = ("shift", "extend") if specific.get("count") == "reads" else ()
    return {key: value for key, value in (common | specific).items() if key not in excluded}


def _counts_of_tracks(config: Config) -> Iterator[str]:
    targets = config["targets"]
    if not _of_coverage(config) or not Path(targets.get("tracks", "")).is_file():
        return
    tracks = known_tracks(targets["tracks"], config["run"].get("data_dir", "."))
    for track in tracks[tracks["format"] != "bigwig"].to_dict("records"):
        try:
            check_counting(track["format"], CountSettings.from_dict(counting(track, targets["count"])))
        except InputError as error:
            yield f"track {track['identifier']}: {error}"


# Checks of all runs


def _missing_motifs(config: Config) -> Iterator[str]:
    source = config["motifs"]["source"]
    if not source.startswith(DATABASE) and not Path(source).is_file():
        yield f"motifs.source: {source} does not exist{_start(source, config)}"


def _missing_genes(config: Config) -> Iterator[str]:
    genes = config["attribution"]["genes"]
    if genes not in GENES and not Path(genes).is_file():
        yield f"attribution.genes must be all, held_out, or a file; {genes} does not exist{_start(genes, config)}"


def _baseline(config: Config) -> Iterator[str]:
    windows, baseline = config["windows"], config["evaluate"]["baseline"]
    for side in ("upstream", "downstream"):
        if baseline.get(side, 0) > windows[side]:
            yield f"evaluate.baseline.{side} is {baseline[side]}, more than windows.{side} ({windows[side]}): reduce it"
    if ("upstream" in baseline or "downstream" in baseline) and baseline["window"] != "best":
        yield "evaluate.baseline has a window, and upstream or downstream: remove one of them"


def _words(config: Config) -> Iterator[str]:
    windows, baseline = config["windows"], config["evaluate"]["baseline"]
    if "upstream" in baseline or "downstream" in baseline:
        length = baseline.get("upstream", min(500, windows["upstream"])) + baseline.get("downstream", 0)
    else:
        length = min(500, windows["upstream"]) if baseline["window"] == "promoter" else _length(config)
    if length < baseline["k"]:
        yield f"evaluate.baseline: its window of {length} bp is shorter than k ({baseline['k']}): increase it, or reduce k"


def _nodes(config: Config) -> Iterator[str]:
    if config["resources"]["nodes"] > 1 and shutil.which("srun") is None:
        yield f"resources.nodes is {config['resources']['nodes']}, but srun was not found: multiple nodes require SLURM"


def _lengths_of_peaks(config: Config) -> Iterator[str]:
    if config["peaks"]["min_length"] > config["peaks"]["max_length"]:
        yield "peaks.min_length is greater than peaks.max_length: change one of them"


def _q_values(config: Config) -> Iterator[str]:
    if config["peaks"]["max_q"] < 1 and not config["attribution"]["null_windows"]:
        yield (
            f"peaks.max_q is {config['peaks']['max_q']}, but without shuffled windows peaks have no q-values: set "
            "attribution.null_windows above 0, or peaks.max_q to 1"
        )


def _patterns(config: Config) -> Iterator[str]:
    if config["motifs"]["patterns"]["discover"] and not config["attribution"]["hypothetical"]:
        yield "motifs.patterns.discover requires attribution.hypothetical: true"


def pretrained(config: Config) -> list[str]:
    """Return a list with the file of pretrained weights, or an empty list."""
    weights = pretrained_weights(config)
    return [weights] if weights else []


def _missing_network(config: Config, path: str) -> str:
    registry = config["model"]["registry"]
    if address := find_address(registry, config["model"]["folder"], path):
        return f"model.trained: {path} does not exist: download it from {address}"
    if not Path(path).suffix and Path(registry).is_file():
        return str(
            unknown_name(f"network in model.trained, neither a file nor a name in {registry}:", path, read_registry(registry))
        )
    return f"model.trained: {path} does not exist{_start(path)}"


def _given_networks(config: Config) -> Iterator[str]:
    given, params = given_networks(config), config["model"]["params"]
    if not Path(config["model"]["registry"]).is_file():
        yield f"model.registry: {config['model']['registry']} does not exist{_start(config['model']['registry'])}"
    for path in given:
        if not Path(path).is_file():
            yield _missing_network(config, path)
        elif not path.endswith((".keras", ".h5")) and not is_torch_file(path):
            yield f"model.trained: {path} is neither a .keras nor an .h5 file, nor a network of PyTorch"
        elif path.endswith(".h5") and not params and not is_torch_file(path):
            yield f"model.trained: {path} holds only weights: set model.params to the parameter file of the network"
    if not given and not params:
        yield "model needs params, the network to train, or trained, networks to use"
    if not given and "head" in config["model"]:
        yield "model.head is only for networks in model.trained: remove it"
    if config["model"]["trained_on"]:
        if not given and not pretrained(config):
            yield "model.trained_on needs trained networks (model.trained) or pretrained weights (transfer.weights): remove it"
        sizes = _lengths(config)
        if sizes:
            for text in config["model"]["trained_on"]:
                parse_region(text, sizes, "model.trained_on")
    folds = config["splits"].get("folds", 1)
    if len(given) % folds:
        yield f"model.trained lists {len(given)} networks, which cannot be divided among {folds} folds (splits.folds)"


def _network(config: Config) -> Iterator[str]:
    file = config["model"]["params"]
    if not file:
        return
    if not Path(file).exists() and (address := find_address(config["model"]["registry"], config["model"]["folder"], file)):
        yield f"model.params: {file} does not exist: download it from {address}"
        return
    if not os.path.isabs(file) and not Path(file).exists():
        yield (
            f"model.params: parameter file {file} does not exist, neither in the working folder, {Path.cwd()}, nor in the "
            f"workflow's folder, {ROOT}"
        )
        return
    try:
        params = read_params(file, config["model"]["overrides"])
    except InputError as error:
        yield f"model.params: {error}"
        return
    weights = params.get("transfer", {}).get("weights")
    if weights and not Path(weights).is_file():
        yield f"transfer.weights of {file} is {weights}, which does not exist{_start(weights)}"
    with suppress(Unsound):
        length = _length(config)
        seq_length = params["model"].get("seq_length", length)
        if seq_length != length:
            yield f"{file} has seq_length {seq_length}, but windows have {length} bases: change one of them"
    depth = params["model"].get("seq_depth", 4)
    if _of_coverage(config) and depth != 4:
        yield (f"{file} has seq_depth {depth}, but coverage runs have no gene-body channel: remove seq_depth, or set it to 4")


def _simulation(config: Config) -> Iterator[str]:
    if "simulate" in config["genome"]:
        check_settings(as_section(SimulateSection, config["genome"]["simulate"]))
    yield from ()


def _lengths(config: Config) -> dict[str, int] | None:
    """Return the lengths of the chromosomes, if the genome is simulated (its lengths are not known yet) or has an index."""
    with suppress(Unsound):
        if "simulate" in config["genome"]:
            n = as_section(SimulateSection, config["genome"]["simulate"]).n_chromosomes
            return {f"chr{i}": _UNKNOWN_LENGTH for i in range(1, n + 1)}
        fasta = config["genome"].get("fasta")
        index = Path(f"{fasta}.fai")
        # An outdated index could lack chromosomes of the genome. It is rebuilt when the genome is read.
        if isinstance(fasta, str) and fits(index, Path(fasta)):
            rows = [line.split("\t") for line in index.read_text(encoding="utf-8").splitlines()]
            return {row[0]: int(row[1]) for row in rows}
    return None


def _fractions(config: Config) -> Iterator[str]:
    splits = config["splits"]
    if splits.get("val_fraction", 0) + splits.get("test_fraction", 0) >= 1:
        yield "splits.val_fraction and splits.test_fraction sum to 1 or more and leave nothing for training: reduce them"


def _forms_of_splits(config: Config) -> Iterator[str]:
    for whole in _OF_ALL_SPLITS:
        for key in _OF_ONE_SPLIT:
            if whole in config["splits"] and key in config["splits"]:
                yield f"splits.{key} cannot be combined with splits.{whole}: remove one of them"


def _held_out(config: Config) -> Iterator[str]:
    chosen = {key: config["splits"].get(key, []) for key in ("val", "test")}
    known = _lengths(config)
    # Without an index, shared bases are still found.
    sizes = known or {chromosome_of(text): _UNKNOWN_LENGTH for texts in chosen.values() for text in texts}
    yield from find_held_out(chosen, sizes)[1]


def _split_regions(config: Config) -> Iterator[str]:
    path, sizes = config["splits"].get("regions"), _lengths(config)
    if isinstance(path, str) and Path(path).is_file() and sizes:
        read_split_regions(path, sizes)
    yield from ()


def _contrasts(config: Config) -> Iterator[str]:
    """Check the tasks in contrasts, if the files with the task names exist."""
    table, contrasts = known_tasks(config), config["attribution"]["contrasts"]
    if contrasts == EACH_GROUP and table is None:
        yield (
            "attribution.contrasts is each_group, but the groups of tasks are not known before the run, because their file is "
            "missing, remote, or made by the run: list the contrasts"
        )
    if contrasts == EACH_GROUP or table is None:
        return
    for name, section in contrasts.items():
        try:
            resolve_contrast(name, as_section(ContrastSection, section), table)
        except InputError as error:
            yield str(error)


def _learned_contrasts(config: Config) -> Iterator[str]:
    """Check the contrasts that the loss names."""
    contrasts = config["attribution"]["contrasts"]
    if config["train"]["contrasts"] and not standardizes(config):
        yield (
            "train.contrasts is only for expression runs with a network whose loss is mse or mse_udot: remove it, or use "
            "such a network"
        )
    for name in config["train"]["contrasts"] if contrasts != EACH_GROUP else ():
        if name not in contrasts:
            yield str(unknown_name("contrast in train.contrasts", name, contrasts))


def _heads(config: Config) -> Iterator[str]:
    """Check the heads that learn further data sets."""
    if given_networks(config):
        if config["train"]["heads"]:
            yield "train.heads is set, but the networks in model.trained are not trained: remove one of them"
    elif Path(config["model"]["params"]).is_file():
        yield from find_head_problems(config, _length(config))
