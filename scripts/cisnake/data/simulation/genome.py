"""A genome, its genes, their expression and variants, made from a seed, with the truth of what drives them."""

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
"""Base pairs without genes at the start of every chromosome."""

SITE_GAP = 4
"""Base pairs kept free between planted instances."""

STAGES = ("layout", "background", "planting", "weights", "noise", "missing", "variants")


@dataclass(frozen=True, eq=False)
class Simulation:
    """All that was made.

    Attributes
    ----------
    settings: SimulateSection
    seed: int
    chromosomes: dict of str to numpy.ndarray, dtype=int8
        Codes by name.
    genes: pandas.DataFrame
        gene_id gene_name chrom start end strand tss (0-based, half-open), labelled and complete (bool).
    regulation: Regulation
    planted: pandas.DataFrame
        sequence (row of `genes`), regulator, start, orientation, as `Regulation.sites` has them.
    noiseless, observed: numpy.ndarray, shape=(genes, tasks), dtype=float64
        Log expression; NaN in `observed` where not measured.
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
        """Task, group and description, in the order of the expression table's columns."""
        rows = [
            (f"{g.name}_{i + 1}", g.name, f"{g.name}, sample {i + 1}") for g in self.settings.groups for i in range(g.n_tasks)
        ]
        return pd.DataFrame(rows, columns=["task", "group", "description"])

    @cached_property
    def windows(self) -> np.ndarray:
        """Regulatory regions of the genes, gene-oriented, shape=(genes, upstream + downstream), dtype=int8."""
        return window_codes(self.chromosomes, self.genes, self.settings.upstream, self.settings.downstream)


def simulate(settings: SimulateSection, seed: int) -> Simulation:
    """Make a genome and the expression of its genes.

    Every stage draws from a generator of its own, so that a change of one (more noise, more variants) leaves the others as
    they were. The same settings and seed give the same result.

    Parameters
    ----------
    settings: SimulateSection
    seed: int

    Raises
    ------
    InputError
        Settings contradict each other, a motif is unknown or stands in two places, or more instances are asked for than fit.
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
    """Return the generator of one stage of the simulation; its name is one of STAGES."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(STAGES.index(stage),)))


def _regulators(s: SimulateSection, rng: np.random.Generator) -> list[Regulator]:
    names = [name for name, _, _ in list_motifs(s)]
    motifs = regulation.jaspar_motifs(names, s.jaspar_release)
    seen: dict[str, str] = {}
    for name in names:
        if motifs[name].id in seen:
            raise InputError(
                f"genome.simulate: motif {motifs[name].id} is given twice, as '{seen[motifs[name].id]}' and '{name}'; "
                "every motif has one role, in one group or in all."
            )
        seen[motifs[name].id] = name
    strength = s.strength * rng.uniform(0.8, 1.2, len(names))
    regulators = []
    for (name, role, group), size in zip(list_motifs(s), strength, strict=True):
        acts = np.ones(len(s.groups)) if group is None else np.eye(len(s.groups))[group]
        weights = acts * {"activator": 1.0, "repressor": -1.0, "shared": 1.0, "decoy": 0.0}[role] * size + 0.0
        motif = motifs[name]
        threshold = regulation.choose_threshold(motif, s.gc, s.sharpness)
        regulators.append(Regulator(motif, role, weights, regulation.log_odds(motif, s.gc), threshold))
    return regulators


def _layout(s: SimulateSection, rng: np.random.Generator) -> tuple[pd.DataFrame, dict[str, int]]:
    """Give every gene a slot of its own: its body, its regulatory region, and the spacing behind it."""
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
    # An upstream region ends with its last base before the TSS: '+' begins its slot with it, '-' ends its slot with it.
    tss = np.where(forward, slot_start + s.upstream, slot_start + after - 1)
    start = np.where(forward, tss, tss - length + 1)
    sizes = {}
    for index in range(s.n_chromosomes):
        of_chrom = np.flatnonzero(chrom == index)
        end = (slot_start + slot)[of_chrom[-1]]
        sizes[f"chr{index + 1}"] = int(tss[of_chrom[-1]] + s.upstream // 4 + 1 if of_chrom[-1] in last else end)
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
    """Return the genome position of every base of the windows, in gene direction, shape=(genes, upstream + downstream)."""
    from_tss = np.arange(-upstream, downstream)
    sign = np.where(genes["strand"] == "+", 1, -1)
    return genes["tss"].to_numpy()[:, None] + sign[:, None] * from_tss


def window_codes(chromosomes: Mapping[str, np.ndarray], genes: pd.DataFrame, upstream: int, downstream: int) -> np.ndarray:
    """Return the gene-oriented sequences around TSSs; N beyond the ends of chromosomes.

    Parameters
    ----------
    chromosomes: mapping of str to numpy.ndarray, dtype=int8
        Codes of the forward strand by name.
    genes: pandas.DataFrame
        chrom, strand, tss.
    upstream, downstream: int
        Bases before the TSS, and from it on.

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
    # Positions already run in gene direction: only the letters are left to complement.
    codes[reverse] = reverse_complement(codes[reverse])[:, ::-1]
    return codes


def _plant(
    s: SimulateSection,
    regulators: list[Regulator],
    genes: pd.DataFrame,
    chromosomes: dict[str, np.ndarray],
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Write instances of the motifs into the chromosomes, in place, and return where they stand."""
    widths = np.array([len(regulator.log_odds) for regulator in regulators])
    room = s.plant_upstream + s.plant_downstream
    needed = s.instances_per_gene * (widths + SITE_GAP).sum()
    if needed > 0.5 * room:
        raise InputError(
            f"genome.simulate: instances_per_gene {s.instances_per_gene} of {len(widths)} motifs needs {needed:.0f} bp of the "
            f"{room} bp that plant_upstream and plant_downstream give; at most half may be filled. Ask for fewer or widen them."
        )
    hosts = np.flatnonzero(genes["complete"])
    counts = rng.poisson(s.instances_per_gene, (len(hosts), len(widths)))
    host, regulator = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices(counts.shape))
    order = np.lexsort((rng.random(len(host)), host))
    host, regulator = host[order], regulator[order]
    # Instances stand in random order; sorted uniform numbers share out the bases that they leave free. The few genes that
    # drew more than fit lose the last ones.
    taken = _running(widths[regulator] + SITE_GAP, host)
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
    for index, chosen in enumerate(regulators):
        rows = planted[planted["regulator"] == index]
        instances = regulation.sample(chosen.motif, len(rows), s.sharpness, rng)
        reverse = (rows["orientation"] == "-").to_numpy()
        instances[reverse] = reverse_complement(instances[reverse])
        gene = rows["sequence"].to_numpy()
        at = positions[gene[:, None], rows["start"].to_numpy()[:, None] + np.arange(widths[index])]
        flip = minus_gene[gene]
        instances[flip] = reverse_complement(instances[flip])[:, ::-1]
        for chrom in chromosomes:
            here = (genes["chrom"].to_numpy()[gene] == chrom).nonzero()[0]
            chromosomes[chrom][at[here]] = instances[here]
    return planted.sort_values(["sequence", "start"], kind="stable", ignore_index=True)


def _running(sizes: np.ndarray, host: np.ndarray) -> np.ndarray:
    """Return sums of `sizes` up to and with each item, begun anew at every host; hosts are sorted."""
    total = np.cumsum(sizes)
    first = np.searchsorted(host, host)
    return total - (total - sizes)[first] if len(host) else total


def truth(made: Simulation) -> pd.DataFrame:
    """Return every planted instance, and every site of an active motif that arose by chance and is at least half occupied.

    Returns
    -------
    pandas.DataFrame
        gene_id motif_id motif_name role origin (planted or chance) chrom start end strand (of the genome, for the motif)
        from_tss (of the centre, `regulation.centre`) occupancy, and effect_<group>: the instance's addition to log expression
        in the tasks of that group.
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
