"""Check the settings of a simulated genome beyond what the schema can express."""

from __future__ import annotations

from cisnake.errors import InputError
from cisnake.sections import SimulateSection

MIN_WHOLE_GENES = 10
"""Minimum number of genes with a label and a complete regulatory region."""


def list_motifs(settings: SimulateSection) -> list[tuple[str, str, int | None]]:
    """Return name, role and group of every motif, in a fixed order; the group is None for shared motifs and decoys."""
    grouped: list[tuple[str, str, int | None]] = [
        (name, role, index)
        for index, group in enumerate(settings.groups)
        for role, names in (("activator", group.activators), ("repressor", group.repressors))
        for name in names
    ]
    return grouped + [(name, "shared", None) for name in settings.shared] + [(name, "decoy", None) for name in settings.decoys]


def check_settings(settings: SimulateSection) -> None:
    """Check the section `genome.simulate` for values that are valid alone but not together.

    Raises
    ------
    InputError
        Values contradict each other.
    """
    ranges = {
        "n_genes": (settings.n_chromosomes, 1_000_000),
        "plant_upstream": (0, settings.upstream),
        "plant_downstream": (0, settings.downstream),
        "n_truncated": (0, settings.n_chromosomes),
        "n_unlabelled": (0, settings.n_genes // 2),
    }
    for key, (low, high) in ranges.items():
        if not low <= getattr(settings, key) <= high:
            raise InputError(f"genome.simulate: {key} is {getattr(settings, key)}; it must be between {low} and {high}.")
    if settings.n_genes - settings.n_truncated - settings.n_unlabelled < MIN_WHOLE_GENES:
        raise InputError(
            f"genome.simulate: n_genes {settings.n_genes} minus n_truncated {settings.n_truncated} and n_unlabelled "
            f"{settings.n_unlabelled} leaves fewer than {MIN_WHOLE_GENES} genes: increase n_genes."
        )
    names = [group.name for group in settings.groups]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"genome.simulate: group '{name}' is listed twice; group names must be unique.")
    if not any(role != "decoy" for _, role, _ in list_motifs(settings)):
        raise InputError("genome.simulate: no motif has an effect; set activators, repressors or shared motifs.")
