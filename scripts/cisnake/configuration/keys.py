"""Keys and values of the configuration that have a special meaning in the code."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
# The folder with workflow/schemas and config/models: the checkout, or the package if it is installed.
ROOT = _PACKAGE if (_PACKAGE / "workflow").is_dir() else _PACKAGE.parents[1]
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"
# Prefix that marks a motif database rather than a path.
DATABASE = "jaspar:"
# Values of attribution.genes that are not paths.
GENES = ("all", "held_out")
# Value of attribution.contrasts that contrasts each group of tasks with all other tasks.
EACH_GROUP = "each_group"
# Keys of input files, by section.
SOURCES = (
    ("genome", "fasta"),
    ("annotation", "gtf"),
    ("annotation", "tss_bed"),
    ("regions", "file"),
    ("targets", "matrix"),
    ("targets", "cells"),
    ("targets", "cell_table"),
    ("targets", "tasks"),
    ("targets", "blacklist"),
    ("targets", "unmappable"),
    ("tiles", "gaps"),
    ("tiles", "limit"),
    ("splits", "genes"),
    ("splits", "regions"),
    ("variants", "vcf"),
)


def listed(problems: list[str]) -> str:
    """Return problems as one message, with one line per problem if there are several."""
    if len(problems) == 1:
        return problems[0]
    return "\n".join([f"{len(problems)} problems:", *(f"  - {problem}" for problem in problems)])
