"""Keys of the configuration that need a meaning in Python."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
# The folder that has workflow/schemas and config/models: the checkout, or the package itself where it is installed.
ROOT = _PACKAGE if (_PACKAGE / "workflow").is_dir() else _PACKAGE.parents[1]
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"
# What begins the name of a motif database, which is no path.
DATABASE = "jaspar:"
# Choices of genes to attribute that are no path.
GENES = ("all", "held_out")
# In place of contrasts by name: each group of tasks against the rest.
EACH_GROUP = "each_group"
# Keys that name an input file, by section.
SOURCES = (
    ("genome", "fasta"),
    ("annotation", "gtf"),
    ("annotation", "tss_bed"),
    ("targets", "matrix"),
    ("targets", "cells"),
    ("targets", "cell_table"),
    ("targets", "tasks"),
    ("targets", "blacklist"),
    ("targets", "unmappable"),
    ("tiles", "gaps"),
    ("tiles", "limit"),
    ("splits", "genes"),
    ("variants", "vcf"),
)


def listed(problems: list[str]) -> str:
    """Return problems as one text, a line each where there are several."""
    if len(problems) == 1:
        return problems[0]
    return "\n".join([f"{len(problems)} things to mend:", *(f"  - {problem}" for problem in problems)])
