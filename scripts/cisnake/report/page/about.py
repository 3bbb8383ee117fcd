"""What a run is about, in a few lines: genome, measurements, windows, held-out genes, networks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cisnake
from cisnake.report.results import Results
from cisnake.report.units import label_unit
from cisnake.report.words import count

_MAX_NAMES = 12
_REGION_SOURCES = {"summit", "middle"}


def describe_run(results: Results, config: Mapping[str, Any] | None, written: str | None) -> list[tuple[str, str]]:
    """Return pairs of a term and what it is in this run; what is not known is left out.

    Parameters
    ----------
    results: Results
    config: mapping, optional
        Complete configuration of the run. None: not known.
    written: str, optional
        Date on which the report is written. Default None: not shown.
    """
    held_out = results.evaluations[0]
    rows = []
    if config is not None:
        rows += [("Genome", _genome(config)), (unit_name(results).capitalize() + "s", _units(results, config))]
        rows += [("Measurements", _measurements(results, config)), ("Window", _window(results, config))]
    rows += [("Splits", _splits(results, config)), ("Networks", _networks(results, config))]
    if results.contrasts:
        rows.append(("Contrasts", _listed([contrast.name for contrast in results.contrasts])))
    if not held_out.measured:
        rows = [row for row in rows if row[0] != "Splits"]
    seed = "" if config is None else f", seed {config['run']['seed']}"
    rows.append(("Made by", f"Cisnake {cisnake.__version__}{seed}" + (f"; report of {written}" if written else "")))
    return rows


def unit_name(results: Results) -> str:
    """Return what the run is about: "region" or "gene"."""
    return "region" if _REGION_SOURCES & {*results.summary.get("tss_source", {})} else "gene"


def _genome(config: Mapping[str, Any]) -> str:
    genome = config["genome"]
    if "simulate" in genome:
        simulated = genome["simulate"]
        return f"simulated, {count(simulated['n_chromosomes'])} chromosomes, {count(simulated['n_genes'])} genes"
    organism = f"{genome['organism']}, " if genome.get("organism") else ""
    assembly = f" ({genome['assembly']})" if genome.get("assembly") else ""
    return f"{organism}{file_name(genome['fasta'])}{assembly}"


def _units(results: Results, config: Mapping[str, Any]) -> str:
    n = count(results.summary["n_kept"])
    source = config.get("regions", {}).get("file") or config.get("annotation", {}).get("gtf")
    measured = config.get("annotation", {}).get("tss_bed")
    return n + (f" of {file_name(source)}" if source else "") + (f", TSSs of {file_name(measured)}" if measured else "")


def _measurements(results: Results, config: Mapping[str, Any]) -> str:
    targets, main = config["targets"], results.evaluations[0]
    source = targets.get("matrix") or targets.get("cells") or targets.get("tracks")
    if not main.measured:
        return "none: trained networks predict"
    what = "tracks" if targets.get("kind") == "coverage" else "tasks"
    groups = main.tasks["group"][main.tasks["group"] != ""].nunique() if "group" in main.tasks else 0
    text = f"{count(main.summary['n_tasks'])} {what}" + (f" in {count(groups)} groups" if groups > 1 else "")
    unit = label_unit(config)
    return text + (f" of {file_name(source)}" if source else "") + (f", as {unit}" if unit else "")


def _window(results: Results, config: Mapping[str, Any]) -> str:
    windows = config["windows"]
    around = "the summit or middle" if unit_name(results) == "region" else "the TSS"
    if windows.get("anchor") == "start":
        around = "the start of the gene"
    length = windows["upstream"] + windows["downstream"]
    return f"{length:,} bp: {windows['upstream']:,} upstream and {windows['downstream']:,} downstream of {around}"


def _splits(results: Results, config: Mapping[str, Any] | None) -> str:
    folds = 0 if config is None else config["splits"].get("folds") or 0
    if folds:
        return f"{folds} folds, each {unit_name(results)} held out once"
    parts = []
    for split, word in (("train", "training"), ("val", "validation"), ("test", "test")):
        chosen = results.genes["split"] == split
        where = list(dict.fromkeys(results.genes.loc[chosen, "chrom"])) if split != "train" else []
        parts.append(f"{count(int(chosen.sum()))} {word}" + (f" ({_listed(where, 4)})" if where else ""))
    return ", ".join(parts)


def _networks(results: Results, config: Mapping[str, Any] | None) -> str:
    n = len(results.trainings)
    text = f"{n} {'network' if n == 1 else 'networks'}"
    if any(training.history is None for training in results.trainings):
        text += ", trained elsewhere"
    params = "" if config is None else config["model"].get("params", "")
    text += f", {Path(params).name}" if params else ""
    return text + (", each with a linear model of words (k-mers)" if results.evaluations[0].summary.get("parts") else "")


def file_name(source: Any) -> str:
    """Return the name of an input file that is given as a path, or as an address with a checksum."""
    return Path(str(source["url"] if isinstance(source, Mapping) else source)).name


def _listed(names: list[str], most: int = _MAX_NAMES) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
