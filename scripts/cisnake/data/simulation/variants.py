"""Variants of a simulated genome and their true effects."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cisnake.data.genome import BASES, decode, encode
from cisnake.data.simulation.genome import Simulation, stage_generator, window_codes, window_positions

INDEL_SIZE = 4
"""Maximum number of inserted or deleted bases."""

TSS_MARGIN = 10
"""Bases around the TSS without variants, because the effect of an indel that covers the TSS is a matter of convention."""

UNKNOWN_CHROM = "chrUnknown"


def draw_variants(made: Simulation) -> pd.DataFrame:
    """Draw variants near genes, and a few without a known effect.

    Variants near genes: 40 % break a planted instance of an active motif at its most informative base, 10 % do the same to a
    decoy, 30 % substitute a random base of a regulatory region, and 20 % are insertions and deletions, half of them inside
    planted instances of active motifs. In addition, two variants have a REF and an ALT that both differ from the genome, one
    has REF and ALT swapped, one is on a chromosome that the genome lacks, and one is far from every gene.

    Parameters
    ----------
    made: Simulation

    Returns
    -------
    pandas.DataFrame
        chrom pos (0-based) ref alt kind gene_id (empty if no effect is known) and row (of the gene, -1 if there is none),
        sorted by chromosome and position, at most one variant per position.
    """
    rng = stage_generator(made.seed, "variants")
    settings, regulators = made.settings, made.regulation.regulators
    positions = window_positions(made.genes, settings.upstream, settings.downstream)
    hosts = np.flatnonzero(made.genes["labelled"] & made.genes["complete"])
    active = np.array([regulator.active for regulator in regulators])
    planted = made.planted[made.planted["sequence"].isin(hosts)]
    in_active = planted[active[planted["regulator"]]]
    in_decoy = planted[~active[planted["regulator"]]]
    n = settings.n_variants
    n_active, n_decoy, n_indel = int(0.4 * n), int(0.1 * n), int(0.2 * n)
    drawn = []

    for kind, sites, count in (("active", in_active, n_active), ("decoy", in_decoy, n_decoy)):
        for site in _pick(sites, count, rng):
            motif = regulators[site.regulator].motif
            at = int(motif.information.argmax())
            worst = int(motif.probabilities[at].argmin())
            offset = at if site.orientation == "+" else len(motif.probabilities) - 1 - at
            alt = worst if site.orientation == "+" else 3 - worst
            drawn.append(_substitution(made, positions, site.sequence, site.start + offset, alt, kind))

    for row in rng.choice(hosts, n - n_active - n_decoy - n_indel):
        at = int(rng.integers(positions.shape[1]))
        alt = int((made.windows[row, at] + rng.integers(1, 4)) % 4)
        drawn.append(_substitution(made, positions, row, at, alt, "random"))

    targets = [(site.sequence, site.start + 3) for site in _pick(in_active, n_indel // 2, rng)]
    targets += [(row, int(rng.integers(positions.shape[1]))) for row in rng.choice(hosts, n_indel - len(targets))]
    for row, at in targets:
        drawn.append(_indel(made, int(positions[row, at]), int(row), rng))

    near = pd.DataFrame(drawn, columns=["chrom", "pos", "ref", "alt", "kind", "row"])
    tss = made.genes["tss"].to_numpy()[near["row"].astype(int)]
    near = near[(np.abs(near["pos"] - tss) > TSS_MARGIN + INDEL_SIZE) & (near["ref"] != near["alt"])]
    near["gene_id"] = made.genes["gene_id"].to_numpy()[near["row"].astype(int)]
    table = pd.concat([_without_effect(made, positions, hosts, rng), near], ignore_index=True)
    order = {chrom: index for index, chrom in enumerate([*made.chromosomes, UNKNOWN_CHROM])}
    table = table.drop_duplicates(["chrom", "pos"]).assign(order=lambda t: t["chrom"].map(order))
    return table.sort_values(["order", "pos"], kind="stable", ignore_index=True).drop(columns="order")


def variant_effects(made: Simulation, variants: pd.DataFrame) -> np.ndarray:
    """Compute f(alt) - f(ref) of variants, shape=(variants, tasks), dtype=float64; NaN for variants without a gene.

    The position of the TSS base in the window is fixed. An insertion upstream of the TSS therefore pushes bases out of the
    upstream end of the window, and one downstream of it pushes them out of the downstream end; deletions let bases in.

    Parameters
    ----------
    made: Simulation
    variants: pandas.DataFrame
        As returned by `draw_variants`.
    """
    known = np.flatnonzero(variants["row"] >= 0)
    alternative = np.stack([_haplotype(made, variants.iloc[index]) for index in known]) if len(known) else made.windows[:0]
    reference = made.windows[variants["row"].to_numpy(dtype=int)[known]]
    effects = np.full((len(variants), len(made.regulation.base)), np.nan)
    effects[known] = made.regulation.expression(alternative) - made.regulation.expression(reference)
    return effects


def write_vcf(made: Simulation, variants: pd.DataFrame, effects: np.ndarray) -> str:
    """Return the variants as the text of a VCF 4.2 file, with GENE and EFFECT where known."""
    lines = ["##fileformat=VCFv4.2"]
    lines += [f"##contig=<ID={name},length={len(sequence)}>" for name, sequence in made.chromosomes.items()]
    lines += [
        f"##contig=<ID={UNKNOWN_CHROM}>",
        '##INFO=<ID=GENE,Number=1,Type=String,Description="Gene whose expression the variant changes">',
        '##INFO=<ID=EFFECT,Number=.,Type=Float,Description="True change in log expression, alternative minus reference, per '
        f'task: {", ".join(made.tasks["task"])}">',
        '##INFO=<ID=KIND,Number=1,Type=String,Description="Class of the variant: active, decoy, random, indel, or why it '
        'has no effect">',
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO",
    ]
    for index, v in enumerate(variants.itertuples(index=False)):
        info = f"KIND={v.kind}"
        if v.row >= 0:
            info += f";GENE={v.gene_id};EFFECT={','.join(f'{round(effect, 6) + 0.0:.6g}' for effect in effects[index])}"
        lines.append(f"{v.chrom}\t{v.pos + 1}\tsim{index + 1}\t{v.ref}\t{v.alt}\t.\tPASS\t{info}")
    return "\n".join(lines) + "\n"


def _pick(sites: pd.DataFrame, count: int, rng: np.random.Generator) -> list:
    if sites.empty:
        return []
    return list(sites.iloc[rng.choice(len(sites), min(count, len(sites)), replace=False)].itertuples(index=False))


def _substitution(made: Simulation, positions: np.ndarray, row: int, at: int, alt: int, kind: str) -> tuple:
    """Return the substitution that puts the gene-oriented code `alt` at window position `at`."""
    gene = made.genes.iloc[row]
    pos = int(positions[row, at])
    ref = made.chromosomes[gene["chrom"]][pos]
    alt = 3 - alt if gene["strand"] == "-" else alt
    return gene["chrom"], pos, BASES[ref], BASES[alt], kind, int(row)


def _indel(made: Simulation, pos: int, row: int, rng: np.random.Generator) -> tuple:
    chrom = made.genes["chrom"].iloc[row]
    sequence, size = made.chromosomes[chrom], int(rng.integers(1, INDEL_SIZE + 1))
    if rng.random() < 0.5:
        ref = decode(sequence[pos : pos + 1])
        return chrom, pos, ref, ref + decode(rng.integers(0, 4, size)), "indel", row
    ref = decode(sequence[pos : pos + size + 1])
    return chrom, pos, ref, ref[0], "indel", row


def _without_effect(made: Simulation, positions: np.ndarray, hosts: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for kind, row in zip(("swapped", "ref_mismatch", "ref_mismatch"), rng.choice(hosts, 3, replace=False), strict=True):
        chrom, pos, base, *_ = _substitution(made, positions, row, made.settings.upstream // 2, 0, kind)
        others = [other for other in BASES if other != base]
        rows.append((chrom, pos, others[0], base if kind == "swapped" else others[1], kind, -1))
    rows.append((UNKNOWN_CHROM, 999, "A", "G", "unknown_chromosome", -1))
    first = next(iter(made.chromosomes))
    base = int(made.chromosomes[first][499])
    rows.append((first, 499, BASES[base], BASES[(base + 1) % 4], "far_from_genes", -1))
    return pd.DataFrame(rows, columns=["chrom", "pos", "ref", "alt", "kind", "row"]).assign(gene_id="")


def _haplotype(made: Simulation, variant: pd.Series) -> np.ndarray:
    """Return the window of the variant's gene with the alternative allele, and the TSS base at its usual position."""
    gene = made.genes.iloc[[variant["row"]]]
    sequence: Mapping[str, np.ndarray] = made.chromosomes
    before, alt = sequence[variant["chrom"]], encode(variant["alt"])
    changed = np.concatenate([before[: variant["pos"]], alt, before[variant["pos"] + len(variant["ref"]) :]])
    longer = len(alt) - len(variant["ref"])
    moved = gene.assign(tss=gene["tss"] + np.where(gene["tss"] > variant["pos"], longer, 0))
    return window_codes({variant["chrom"]: changed}, moved, made.settings.upstream, made.settings.downstream)[0]
