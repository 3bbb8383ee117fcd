"""What a simulated genome is made from: the settings, their defaults and what they may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from cisnake.errors import InputError, unknown_name

MIN_WHOLE_GENES = 10
"""Fewest genes with a label and a whole regulatory region."""


@dataclass(frozen=True)
class Group:
    """Tasks that share a regulation, such as a cell type, and the motifs that act in them alone."""

    name: str
    n_tasks: int = 3
    activators: tuple[str, ...] = ()
    repressors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings:
    """What to simulate; the configuration's section `genome.simulate`, key by key.

    Attributes
    ----------
    n_chromosomes, n_genes: int
        How many, chr1 on.
    gc: float
        GC content of the background, 0 to 1.
    upstream, downstream: int
        Base pairs around the TSS that regulate a gene; downstream counts the TSS base.
    spacing: int
        Base pairs between one gene's slot and the next.
    groups: tuple of Group
    shared, decoys: tuple of str
        Motifs that act in all groups, and motifs that are planted as often and do nothing.
    jaspar_release: str
    instances_per_gene: float
        Mean number of planted instances of each motif in a gene.
    plant_upstream, plant_downstream: int
        Base pairs around the TSS that hold the planted instances.
    sharpness: float
        See `regulation.sample`.
    decay, strength, base: float
        See `regulation`: decay in base pairs, mean size of a motif's weight and base in units of log expression.
    possible_r: float
        Pearson r of noiseless with observed expression that the noise is set for, in (0, 1].
    missing_fraction: float
        Share of the cells of the expression table without a value.
    n_unlabelled, n_truncated: int
        Genes without a row in the expression table, and genes whose regulatory region runs over the chromosome's end.
    n_variants: int
        Variants near genes; five more stand where no effect can be known.
    """

    n_chromosomes: int = 8
    n_genes: int = 2000
    gc: float = 0.42
    upstream: int = 450
    downstream: int = 150
    spacing: int = 100
    groups: tuple[Group, ...] = (
        Group("liver", 3, ("HNF4A", "ONECUT1"), ("TBX21",)),
        Group("neuron", 3, ("POU3F2", "MEF2C"), ("HSF1",)),
        Group("blood", 3, ("SPI1", "IRF4"), ("FOS",)),
    )
    shared: tuple[str, ...] = ("NRF1",)
    decoys: tuple[str, ...] = ("PAX6", "TEAD1")
    jaspar_release: str = "JASPAR2026"
    instances_per_gene: float = 0.7
    plant_upstream: int = 400
    plant_downstream: int = 100
    sharpness: float = 1.5
    decay: float = 400.0
    strength: float = 1.0
    base: float = 6.0
    possible_r: float = 0.9
    missing_fraction: float = 0.01
    n_unlabelled: int = 6
    n_truncated: int = 3
    n_variants: int = 240

    @property
    def motifs(self) -> list[tuple[str, str, int | None]]:
        """Name, role and group (None: all, or none for a decoy) of every motif, in a fixed order."""
        own: list[tuple[str, str, int | None]] = [
            (name, role, index)
            for index, group in enumerate(self.groups)
            for role, names in (("activator", group.activators), ("repressor", group.repressors))
            for name in names
        ]
        return own + [(name, "shared", None) for name in self.shared] + [(name, "decoy", None) for name in self.decoys]


def read_settings(given: Mapping[str, Any]) -> Settings:
    """Return settings from a mapping as the configuration has it; keys left out take their defaults.

    Raises
    ------
    InputError
        A key is unknown, a value has the wrong type or is out of range, or values contradict each other.

    Examples
    --------
    >>> from cisnake.data.simulation import read_settings
    >>> settings = read_settings({"n_genes": 100, "groups": [{"name": "liver", "activators": ["HNF4A"]}], "decoys": []})
    >>> settings.n_genes, settings.motifs
    (100, [('HNF4A', 'activator', 0), ('NRF1', 'shared', None)])
    """
    values = dict(_known(given, Settings, "genome.simulate"))
    if "groups" in values:
        values["groups"] = tuple(Group(**_known(group, Group, "genome.simulate.groups")) for group in values["groups"])
    settings = Settings(**values)
    _check(settings)
    return settings


def _known(given: Any, kind: type, where: str) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise InputError(f"{where} must be a mapping of keys to values, not {given!r}.")
    types = {f.name: str(f.type) for f in fields(kind)}
    values = {}
    for key, value in given.items():
        if key not in types:
            raise unknown_name(f"key of {where}", str(key), types)
        if types[key].startswith("tuple"):
            text = types[key] == "tuple[str, ...]"
            if not isinstance(value, (list, tuple)) or (text and not all(isinstance(item, str) for item in value)):
                raise InputError(f"{where}: {key} must be a list{' of names' if text else ''}, not {value!r}.")
            value = tuple(value)
        elif types[key] == "str" and not isinstance(value, str):
            raise InputError(f"{where}: {key} must be text, not {value!r}.")
        elif types[key] in ("int", "float"):
            whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            if isinstance(value, bool) or not isinstance(value, (int, float)) or (types[key] == "int" and not whole):
                raise InputError(f"{where}: {key} must be a{' whole' if types[key] == 'int' else ''} number, not {value!r}.")
            value = int(value) if types[key] == "int" else float(value)
        values[key] = value
    if kind is Group and "name" not in values:
        raise InputError(f"{where}: a group has no name.")
    return values


def _check(s: Settings) -> None:
    ranges = {
        "gc": (0.05, 0.95), "possible_r": (0.05, 1.0), "missing_fraction": (0.0, 0.9), "sharpness": (0.1, 10.0),
        "instances_per_gene": (0.0, 100.0), "n_chromosomes": (1, 1000), "n_genes": (s.n_chromosomes, 1_000_000),
        "upstream": (1, 1_000_000), "downstream": (1, 1_000_000), "spacing": (0, 1_000_000), "n_variants": (0, 1_000_000),
        "plant_upstream": (0, s.upstream), "plant_downstream": (0, s.downstream), "decay": (1.0, 1e9), "strength": (0.0, 100.0),
        "base": (-1e6, 1e6), "n_truncated": (0, s.n_chromosomes), "n_unlabelled": (0, s.n_genes // 2),
    }  # fmt: skip
    for key, (low, high) in ranges.items():
        if not low <= getattr(s, key) <= high:
            raise InputError(f"genome.simulate: {key} is {getattr(s, key)}, but must lie between {low} and {high}.")
    if s.n_genes - s.n_truncated - s.n_unlabelled < MIN_WHOLE_GENES:
        raise InputError(
            f"genome.simulate: of n_genes {s.n_genes}, {s.n_truncated} truncated and {s.n_unlabelled} unlabelled leave fewer "
            f"than {MIN_WHOLE_GENES}; ask for more genes."
        )
    names = [group.name for group in s.groups]
    if not names:
        raise InputError("genome.simulate: groups is empty; give at least one group of tasks.")
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"genome.simulate: group '{name}' is listed twice; give every group its own name.")
    for group in s.groups:
        if group.n_tasks < 1:
            raise InputError(f"genome.simulate: group '{group.name}' has n_tasks {group.n_tasks}; it must be at least 1.")
    if not any(role != "decoy" for _, role, _ in s.motifs):
        raise InputError("genome.simulate: no motif acts; give activators, repressors or shared motifs.")
