"""Simulate a genome, its genes and their expression, with known regulatory sites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from cisnake.data.genome import N, reverse_complement
from cisnake.data.simulation import regulation
from cisnake.data.simulation.regulation import Regulation, Regulator
from cisnake.data.simulation.settings import check_settings, list_motifs
from cisnake.errors import InputError
from cisnake.sections import SimulateSection

DESERT = 3_000
"""Gene-free bases at the start of every chromosome."""

SITE_GAP = 4
"""Bases kept free between planted instances."""

STAGES = ("layout", "background", "planting", "weights", "noise", "missing", "variants")


@dataclass(frozen=True, eq=False)
class Simulation:
    """A simulated genome with its genes, regulation and expression.

    Attributes
    ----------
    settings: SimulateSection
    seed: int
    chromosomes: dict of str to numpy.ndarray, dtype=int8
        Codes of the forward strand, by chromosome name.
    genes: pandas.DataFrame
        gene_id gene_name chrom start end strand tss (0-based, half-open), labelled and complete (bool).
    regulation: Regulation
    planted: pandas.DataFrame
        sequence (row of `genes`), regulator, start, orientation, as returned by `Regulation.sites`.
    noiseless, observed: numpy.ndarray, shape=(genes, tasks), dtype=float64
        Log expression; missing values are NaN in `observed`.
    """

    settings: SimulateSection
    seed: int
    chromosomes: dict[str, np.ndarray]
    genes: pd.DataFrame
    regulation: Regulation
    planted: pd.DataFrame
    noiseless: np.ndarray
    observed: np.ndarray

    @cached_property
    def tasks(self) -> pd.DataFrame:
        """Task, group, replicate_of (the group) and description, in the order of the expression table's columns."""
        rows = [
            (f"{g.name}_{i + 1}", g.name, f"{g.name}, sample {i + 1}") for g in self.settings.groups for i in range(g.n_tasks)
        ]
        table = pd.DataFrame(rows, columns=["task", "group", "description"])
        table.insert(2, "replicate_of", table["group"])
        return table

    @cached_property
    def windows(self) -> np.ndarray:
        """Gene-oriented sequences of the regulatory regions, shape=(genes, upstream + downstream), dtype=int8."""
        return window_codes(self.chromosomes, self.genes, self.settings.upstream, self.settings.downstream)


def simulate(settings: SimulateSection, seed: int) -> Simulation:
    """Simulate a genome and the expression of its genes.

    Every stage has its own random generator, so changing one stage (more noise, more variants) leaves the others unchanged.
    The same settings and seed give the same result.

    Parameters
    ----------
    settings: SimulateSection
    seed: int

    Raises
    ------
    InputError
        Settings contradict each other, a motif is unknown or listed twice, or the instances do not fit into the regions.
    """
    check_settings(settings)
    regulators = _regulators(settings, stage_generator(seed, "weights"))
    genes, sizes = _layout(settings, stage_generator(seed, "layout"))
    base_rng = stage_generator(seed, "background")
    share = regulation.background(settings.gc).cumsum()[:3]
    chromosomes = {name: np.searchsorted(share, base_rng.random(size), "right").astype(np.int8) for name, size in sizes.items()}
    planted = _plant(settings, regulators, genes, chromosomes, stage_generator(seed, "planting"))

    group_of_task = np.repeat(np.arange(len(settings.groups)), [group.n_tasks for group in settings.groups])
    rule = Regulation(
        regulators=regulators,
        groups=[group.name for group in settings.groups],
        base=np.full(len(group_of_task), settings.base),
        group_of_task=group_of_task,
        tss=settings.upstream,
        decay=settings.decay,
    )
    noiseless = rule.expression(window_codes(chromosomes, genes, settings.upstream, settings.downstream))
    spread = noiseless.std(axis=0) * np.sqrt(settings.possible_r**-2 - 1)
    observed = noiseless + stage_generator(seed, "noise").standard_normal(noiseless.shape) * spread
    observed[stage_generator(seed, "missing").random(noiseless.shape) < settings.missing_fraction] = np.nan
    return Simulation(settings, seed, chromosomes, genes, rule, planted, noiseless, observed)


def stage_generator(seed: int, stage: str) -> np.random.Generator:
    """Return the random generator of a stage of the simulation, one of STAGES."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(STAGES.index(stage),)))


def _regulators(s: SimulateSection, rng: np.random.Generator) -> list[Regulator]:
    names = [name for name, _, _ in list_motifs(s)]
    motifs = regulation.jaspar_motifs(names, s.jaspar_release)
    seen: dict[str, str] = {}
    for name in names:
        if motifs[name].id in seen:
            raise InputError(
                f"genome.simulate: motif {motifs[name].id} is listed twice, as '{seen[motifs[name].id]}' and '{name}'; "
                "a motif must have one role, in one group or in all."
            )
        seen[motifs[name].id] = name
    strength = s.strength * rng.uniform(0.8, 1.2, len(names))
    regulators = []
    for (name, role, group), size in zip(list_motifs(s), strength, strict=True):
        in_group = np.ones(len(s.groups)) if group is None else np.eye(len(s.groups))[group]
        weights = in_group * {"activator": 1.0, "repressor": -1.0, "shared": 1.0, "decoy": 0.0}[role] * size + 0.0
        motif = motifs[name]
        threshold = regulation.choose_threshold(motif, s.gc, s.sharpness)
        regulators.append(Regulator(motif, role, weights, regulation.log_odds(motif, s.gc), threshold))
    return regulators


def _layout(s: SimulateSection, rng: np.random.Generator) -> tuple[pd.DataFrame, dict[str, int]]:
    """Place every gene in its own slot, which holds its regulatory region, its body, and the spacing after it."""
    chrom = np.sort(np.arange(s.n_genes) % s.n_chromosomes)
    forward = rng.random(s.n_genes) < 0.5
    length = rng.integers(400, 1500, s.n_genes)
    last = np.flatnonzero(np.append(chrom[1:] != chrom[:-1], True))[: s.n_truncated]
    forward[last] = False
    after = np.maximum(length, s.downstream)
    slot = s.upstream + after + s.spacing
    ends = np.cumsum(slot)
    first = np.searchsorted(chrom, chrom)
    slot_start = DESERT + ends - slot - (ends - slot)[first]
    # The upstream region is at the start of the slot for '+' and at its end for '-'.
    tss = np.where(forward, slot_start + s.upstream, slot_start + after - 1)
    start = np.where(forward, tss, tss - length + 1)
    sizes = {}
    for index in range(s.n_chromosomes):
        last_gene = np.flatnonzero(chrom == index)[-1]
        end = (slot_start + slot)[last_gene]
        sizes[f"chr{index + 1}"] = int(tss[last_gene] + s.upstream // 4 + 1 if last_gene in last else end)
    labelled = np.ones(s.n_genes, dtype=bool)
    labelled[rng.choice(np.setdiff1d(np.arange(s.n_genes), last), s.n_unlabelled, replace=False)] = False
    genes = pd.DataFrame(
        {
            "gene_id": [f"SIMG{i + 1:07d}" for i in range(s.n_genes)],
            "gene_name": [f"Sim{i + 1}" for i in range(s.n_genes)],
            "chrom": [f"chr{c + 1}" for c in chrom],
            "start": start,
            "end": start + length,
            "strand": np.where(forward, "+", "-"),
            "tss": tss,
            "labelled": labelled,
            "complete": ~np.isin(np.arange(s.n_genes), last),
        }
    )
    return genes, sizes


def window_positions(genes: pd.DataFrame, upstream: int, downstream: int) -> np.ndarray:
    """Return the genome position of every base of the windows, in gene orientation, shape=(genes, upstream + downstream)."""
    from_tss = np.arange(-upstream, downstream)
    sign = np.where(genes["strand"] == "+", 1, -1)
    return genes["tss"].to_numpy()[:, None] + sign[:, None] * from_tss


def window_codes(chromosomes: Mapping[str, np.ndarray], genes: pd.DataFrame, upstream: int, downstream: int) -> np.ndarray:
    """Return the gene-oriented sequences around the TSSs; N beyond the ends of chromosomes.

    Parameters
    ----------
    chromosomes: mapping of str to numpy.ndarray, dtype=int8
        Codes of the forward strand, by chromosome name.
    genes: pandas.DataFrame
        chrom, strand, tss.
    upstream, downstream: int
        Bases upstream of the TSS, and downstream of it including the TSS base.

    Returns
    -------
    numpy.ndarray, shape=(genes, upstream + downstream), dtype=int8
    """
    positions = window_positions(genes, upstream, downstream)
    codes = np.full(positions.shape, N, dtype=np.int8)
    for chrom, sequence in chromosomes.items():
        rows = np.flatnonzero(genes["chrom"] == chrom)
        inside = (positions[rows] >= 0) & (positions[rows] < len(sequence))
        codes[rows] = np.where(inside, sequence[np.clip(positions[rows], 0, len(sequence) - 1)], N)
    reverse = (genes["strand"] == "-").to_numpy()
    # Positions already run in gene orientation, so the bases only need to be complemented.
    codes[reverse] = reverse_complement(codes[reverse])[:, ::-1]
    return codes


def _plant(
    s: SimulateSection,
    regulators: list[Regulator],
    genes: pd.DataFrame,
    chromosomes: dict[str, np.ndarray],
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Write motif instances into the chromosomes, in place, and return their positions."""
    widths = np.array([len(regulator.log_odds) for regulator in regulators])
    room = s.plant_upstream + s.plant_downstream
    needed = s.instances_per_gene * (widths + SITE_GAP).sum()
    if needed > 0.5 * room:
        raise InputError(
            f"genome.simulate: instances_per_gene {s.instances_per_gene} of {len(widths)} motifs needs {needed:.0f} bp; at "
            f"most half of plant_upstream + plant_downstream ({room} bp) may be filled. Reduce instances_per_gene or widen "
            "the region."
        )
    hosts = np.flatnonzero(genes["complete"])
    counts = rng.poisson(s.instances_per_gene, (len(hosts), len(widths)))
    host, regulator = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices(counts.shape))
    order = np.lexsort((rng.random(len(host)), host))
    host, regulator = host[order], regulator[order]
    # Instances are in random order, and sorted uniform numbers divide the free bases between them. The few genes with more
    # instances than fit lose the last ones.
    taken = _cumulative_by_host(widths[regulator] + SITE_GAP, host)
    fits = taken <= room
    host, regulator, taken = host[fits], regulator[fits], taken[fits]
    filled = np.zeros(len(hosts), dtype=int)
    np.maximum.at(filled, host, taken)
    draw = rng.random(len(host))
    draw = draw[np.lexsort((draw, host))]
    before = taken - widths[regulator] - SITE_GAP
    start = s.upstream - s.plant_upstream + before + np.floor(draw * (room - filled[host] + 1)).astype(int)
    orientation = np.where(rng.random(len(host)) < 0.5, "+", "-")

    planted = pd.DataFrame({"sequence": hosts[host], "regulator": regulator, "start": start, "orientation": orientation})
    positions = window_positions(genes, s.upstream, s.downstream)
    minus_gene = (genes["strand"] == "-").to_numpy()
    for index, planted_regulator in enumerate(regulators):
        rows = planted[planted["regulator"] == index]
        instances = regulation.sample(planted_regulator.motif, len(rows), s.sharpness, rng)
        reverse = (rows["orientation"] == "-").to_numpy()
        instances[reverse] = reverse_complement(instances[reverse])
        gene = rows["sequence"].to_numpy()
        at = positions[gene[:, None], rows["start"].to_numpy()[:, None] + np.arange(widths[index])]
        flip = minus_gene[gene]
        instances[flip] = reverse_complement(instances[flip])[:, ::-1]
        for chrom in chromosomes:
            on_chrom = (genes["chrom"].to_numpy()[gene] == chrom).nonzero()[0]
            chromosomes[chrom][at[on_chrom]] = instances[on_chrom]
    return planted.sort_values(["sequence", "start"], kind="stable", ignore_index=True)


def _cumulative_by_host(sizes: np.ndarray, host: np.ndarray) -> np.ndarray:
    """Return the cumulative sum of `sizes` within each host, including the item itself; hosts are sorted."""
    total = np.cumsum(sizes)
    first = np.searchsorted(host, host)
    return total - (total - sizes)[first] if len(host) else total


def truth(made: Simulation) -> pd.DataFrame:
    """Return every planted instance, and every chance site of an active motif that is at least half occupied.

    Returns
    -------
    pandas.DataFrame
        gene_id motif_id motif_name role origin (planted or chance) chrom start end strand (genome strand of the motif)
        from_tss (of the centre, see `regulation.centre`) occupancy, and effect_<group>: the contribution of the site to log
        expression in the tasks of that group.
    """
    key = ["sequence", "regulator", "start", "orientation"]
    chance = made.regulation.sites(made.windows, 0.5).merge(made.planted[key], on=key, how="left", indicator=True)
    chance = chance.loc[chance["_merge"] == "left_only", key].assign(origin="chance")
    sites = pd.concat([made.planted[key].assign(origin="planted"), chance]).sort_values(key, kind="stable", ignore_index=True)
    bound, effects = made.regulation.contributions(made.windows, sites)
    width = np.array([len(r.log_odds) for r in made.regulation.regulators])[sites["regulator"]]
    gene = made.genes.iloc[sites["sequence"].to_numpy()].reset_index(drop=True)
    start = sites["start"].to_numpy()
    forward = (gene["strand"] == "+").to_numpy()
    from_tss = start - made.regulation.tss
    genome_start = np.where(forward, gene["tss"] + from_tss, gene["tss"] - from_tss - width + 1)
    motif = [made.regulation.regulators[i] for i in sites["regulator"]]
    table = pd.DataFrame(
        {
            "gene_id": gene["gene_id"],
            "motif_id": [r.motif.id for r in motif],
            "motif_name": [r.motif.name for r in motif],
            "role": [r.role for r in motif],
            "origin": sites["origin"],
            "chrom": gene["chrom"],
            "start": genome_start,
            "end": genome_start + width,
            "strand": np.where(forward == (sites["orientation"] == "+"), "+", "-"),
            "from_tss": regulation.centre(start, width) - made.regulation.tss,
            "occupancy": bound,
        }
    )
    for index, group in enumerate(made.regulation.groups):
        table[f"effect_{group}"] = effects[:, index]
    return table
