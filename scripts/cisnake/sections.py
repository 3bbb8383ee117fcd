"""Dataclasses for the sections of the configuration.

The fields are the keys of the schema (`workflow/schemas/config.schema.yaml`), which documents meanings, units and defaults.
Optional keys without a default are None.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

Names = tuple[str, ...]
# A path, or a URL and a checksum.
Source = str | dict[str, str] | None


@dataclass(frozen=True)
class RunSection:
    """Section `run`."""

    name: str
    seed: int
    data_dir: str | None


@dataclass(frozen=True)
class GroupSection:
    """A member of `genome.simulate.groups`."""

    name: str
    n_tasks: int
    activators: Names
    repressors: Names


@dataclass(frozen=True)
class SimulateSection:
    """Section `genome.simulate`."""

    n_chromosomes: int
    n_genes: int
    gc: float
    upstream: int
    downstream: int
    spacing: int
    groups: tuple[GroupSection, ...]
    shared: Names
    decoys: Names
    jaspar_release: str
    instances_per_gene: float
    plant_upstream: int
    plant_downstream: int
    sharpness: float
    decay: float
    strength: float
    base: float
    possible_r: float
    missing_fraction: float
    n_unlabelled: int
    n_truncated: int
    n_variants: int


@dataclass(frozen=True)
class GenomeSection:
    """Section `genome`."""

    fasta: Source
    assembly: str | None
    organism: str | None
    simulate: SimulateSection | None


@dataclass(frozen=True)
class AnnotationSection:
    """Section `annotation`."""

    gtf: Source
    feature: str
    match_by: str
    tss_bed: Source
    tss_max_distance: int
    biotypes: Names
    exclude: dict[str, Names]
    exclude_chromosomes: Names


@dataclass(frozen=True)
class RegionsSection:
    """Section `regions`."""

    file: Source
    top: int | None
    overlaps: str
    negatives: int


@dataclass(frozen=True)
class PseudobulksSection:
    """Section `targets.pseudobulks`."""

    by: Names
    min_cells: int


@dataclass(frozen=True)
class TaskFiltersSection:
    """Section `targets.filters.tasks`."""

    max_missing: float | None
    min_total: float | None
    min_genes: int | None


@dataclass(frozen=True)
class GeneFiltersSection:
    """Section `targets.filters.genes`."""

    max_missing: float | None
    min_total: float | None
    min_tasks: int | None


@dataclass(frozen=True)
class FiltersSection:
    """Section `targets.filters`."""

    tasks: TaskFiltersSection
    genes: GeneFiltersSection


@dataclass(frozen=True)
class TaskColumnsSection:
    """Section `targets.task_columns`."""

    task: str | None
    group: str | None
    replicate_of: str | None
    description: str | None


@dataclass(frozen=True)
class CountSection:
    """Section `targets.count`."""

    count: str
    shift: tuple[int, ...]
    extend: int
    min_mapq: int
    keep_duplicates: bool
    cpm: bool


@dataclass(frozen=True)
class GeneScoreSection:
    """Section `targets.gene_score`."""

    region: str
    upstream: int
    downstream: int


@dataclass(frozen=True)
class TargetsSection:
    """Section `targets`."""

    kind: str
    matrix: Source
    layer: str | None
    gene_column: str | None
    cells: Source
    cell_table: Source
    pseudobulks: PseudobulksSection
    filters: FiltersSection
    tasks: Source
    task_columns: TaskColumnsSection
    transform: str | Names
    unit: str | None
    library: str
    tracks: str | None
    bin_size: int
    crop: int
    transform_order: str
    missing_chromosome: str
    interpolate_nan: bool
    blacklist: Source
    blacklist_quantile: float
    unmappable: Source
    umap_clip: float
    clip_pct: float
    count: CountSection
    gene_score: GeneScoreSection


@dataclass(frozen=True)
class TilesSection:
    """Section `tiles`."""

    exclude_chromosomes: Names
    gaps: Source
    limit: Source
    break_length: int
    stride_train: float
    stride_test: float
    snap: int
    sample: float
    unmappable_threshold: float
    max_n_fraction: float


@dataclass(frozen=True)
class WindowsSection:
    """Section `windows`."""

    anchor: str
    upstream: int
    downstream: int
    max_shift: int
    max_n_fraction: float


@dataclass(frozen=True)
class SplitsSection:
    """Section `splits`."""

    val: Names | None
    test: Names | None
    val_fraction: float | None
    test_fraction: float | None
    folds: int | None
    genes: Source
    regions: Source
    unmeasured: bool | None
    allow_overlap: bool


@dataclass(frozen=True)
class ModelSection:
    """Section `model`."""

    params: str
    overrides: dict[str, Any]
    trained: tuple[str, ...]
    registry: str
    folder: str
    head: str | None
    trained_on: tuple[str, ...]


@dataclass(frozen=True)
class HeadSection:
    """A member of `train.heads`."""

    name: str
    dataset: str


@dataclass(frozen=True)
class TrainSection:
    """Section `train`."""

    replicates: int
    words: bool
    heads: tuple[HeadSection, ...]
    contrasts: Names
    trackers: Names


@dataclass(frozen=True)
class BaselineSection:
    """Section `evaluate.baseline`."""

    window: str
    upstream: int | None
    downstream: int | None
    words: str
    k: int
    counts: str
    alpha: float | str


@dataclass(frozen=True)
class EvaluateSection:
    """Section `evaluate`."""

    splits: Names
    baseline: BaselineSection


@dataclass(frozen=True)
class ContrastSection:
    """A member of `attribution.contrasts`."""

    on_tasks: Names | str
    off_tasks: Names | str | None
    score: str


@dataclass(frozen=True)
class AttributionSection:
    """Section `attribution`."""

    contrasts: dict[str, ContrastSection] | str
    genes: str
    n_shards: int
    method: str
    correct_mean: bool
    baseline: str
    n_steps: int
    tolerance: float
    n_shuffles: int
    n_samples: int
    sample_prob: float
    seed: int
    reverse_complement: bool
    shifts: tuple[int, ...]
    null_windows: int
    quality_genes: int
    hypothetical: bool
    dtype: str


@dataclass(frozen=True)
class PeaksSection:
    """Section `peaks`."""

    method: str
    max_q: float
    threshold: float
    min_length: int
    max_length: int
    n: int
    min_dist: int
    height: float
    window: int
    flank: int
    precision: float


@dataclass(frozen=True)
class ProbeSection:
    """Section `motifs.probe`."""

    top: int
    sites: int
    draws: int
    backgrounds: int


@dataclass(frozen=True)
class PairsSection:
    """Section `motifs.pairs`."""

    top: int
    max_distance: int
    permutations: int


@dataclass(frozen=True)
class PatternsSection:
    """Section `motifs.patterns`."""

    discover: bool
    width: int
    max_seqlets: int


@dataclass(frozen=True)
class MotifsSection:
    """Section `motifs`."""

    source: str
    p_threshold: float
    gc_classes: int
    flank: int
    probe: ProbeSection
    pairs: PairsSection
    patterns: PatternsSection


@dataclass(frozen=True)
class VariantsSection:
    """Section `variants`."""

    vcf: Source
    controls: int
    explained: int


@dataclass(frozen=True)
class ReportSection:
    """Section `report`."""

    top_genes: int
    all_genes: bool
    top_motifs: int


@dataclass(frozen=True)
class ResourcesSection:
    """Section `resources`."""

    threads: int
    batch_size: int
    gpus: int
    nodes: int
    mem_mb: int


@dataclass(frozen=True)
class Sections:
    """The configuration of a run, or the part that one program reads; other keys are not attributes."""

    run: RunSection
    genome: GenomeSection
    annotation: AnnotationSection
    regions: RegionsSection
    targets: TargetsSection
    tiles: TilesSection
    windows: WindowsSection
    splits: SplitsSection
    model: ModelSection
    train: TrainSection
    evaluate: EvaluateSection
    attribution: AttributionSection
    peaks: PeaksSection
    motifs: MotifsSection
    variants: VariantsSection
    report: ReportSection
    resources: ResourcesSection


Section = TypeVar("Section")


def as_section(kind: type[Section], values: Mapping[str, Any], keys: Collection[str] | None = None) -> Section:
    """Convert a completed section of the configuration to its dataclass.

    Parameters
    ----------
    kind: type
        One of the dataclasses in this module.
    values: mapping
        The section, already validated against the schema: types and keys are not checked again.
    keys: collection of str, optional
        Dotted names of the keys or sections to include. Other keys are not attributes of the result, so reading them raises
        AttributeError. Default: all.

    Returns
    -------
    kind
        The section; lists become tuples, and missing keys are None.

    Examples
    --------
    >>> as_section(ReportSection, {"top_genes": 3, "all_genes": False, "top_motifs": 5})
    ReportSection(top_genes=3, all_genes=False, top_motifs=5)
    >>> as_section(ReportSection, {"top_genes": 3, "all_genes": False, "top_motifs": 5}, ["top_genes"]).top_genes
    3
    """
    section = object.__new__(kind)
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(typing.cast(Any, kind)):
        inner = None
        if keys is not None and field.name not in keys:
            inner = [key.partition(".")[2] for key in keys if key.startswith(f"{field.name}.")]
            if not inner:
                continue
        object.__setattr__(section, field.name, _as_type(hints[field.name], values.get(field.name), inner))
    return section


def _as_type(hint: Any, value: Any, keys: Collection[str] | None = None) -> Any:
    if value is None:
        return None
    choices = typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)
    for kind in choices:
        if isinstance(value, Mapping) and dataclasses.is_dataclass(kind):
            return as_section(typing.cast(type, kind), value, keys)
        if isinstance(value, Mapping) and typing.get_origin(kind) is dict:
            return {key: _as_type(typing.get_args(kind)[1], member) for key, member in value.items()}
        if isinstance(value, (list, tuple)) and typing.get_origin(kind) is tuple:
            return tuple(_as_type(typing.get_args(kind)[0], member) for member in value)
    return float(value) if hint is float else value
