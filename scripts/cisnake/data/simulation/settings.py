"""What a simulated genome is made from: what the schema cannot say of its settings."""

from __future__ import annotations

from cisnake.errors import InputError
from cisnake.sections import SimulateSection

MIN_WHOLE_GENES = 10
"""Fewest genes with a label and a whole regulatory region."""


def list_motifs(settings: SimulateSection) -> list[tuple[str, str, int | None]]:
    """Return name, role and group (None: all, or none for a decoy) of every motif, in a fixed order."""
    own: list[tuple[str, str, int | None]] = [
        (name, role, index)
        for index, group in enumerate(settings.groups)
        for role, names in (("activator", group.activators), ("repressor", group.repressors))
        for name in names
    ]
    return own + [(name, "shared", None) for name in settings.shared] + [(name, "decoy", None) for name in settings.decoys]


def check_settings(settings: SimulateSection) -> None:
    """Check the section `genome.simulate` beyond what the schema says of each key.

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
            raise InputError(f"genome.simulate: {key} is {getattr(settings, key)}, but must lie between {low} and {high}.")
    if settings.n_genes - settings.n_truncated - settings.n_unlabelled < MIN_WHOLE_GENES:
        raise InputError(
            f"genome.simulate: of n_genes {settings.n_genes}, {settings.n_truncated} truncated and {settings.n_unlabelled} "
            f"unlabelled leave fewer than {MIN_WHOLE_GENES}; ask for more genes."
        )
    names = [group.name for group in settings.groups]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"genome.simulate: group '{name}' is listed twice; give every group its own name.")
    if not any(role != "decoy" for _, role, _ in list_motifs(settings)):
        raise InputError("genome.simulate: no motif acts; give activators, repressors or shared motifs.")
