"""The truth table matches the simulated genome, and expression follows the model of regulation."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pysam
import pytest

from cisnake import configuration
from cisnake.data.genome import bases
from cisnake.data.genome import fasta as genome
from cisnake.data.simulation import regulation
from cisnake.data.simulation.files import write_inputs
from cisnake.data.simulation.genome import Simulation, simulate, truth, window_codes
from cisnake.data.simulation.regulation import TEMPERATURE, Regulation
from cisnake.data.simulation.variants import draw_variants, variant_effects
from cisnake.errors import InputError
from cisnake.sections import GroupSection

SMALL = configuration.section("genome.simulate", n_chromosomes=3, n_genes=120, n_variants=80, n_unlabelled=4, n_truncated=2)


@pytest.fixture(scope="module")
def made() -> Simulation:
    return simulate(SMALL, seed=3)


@pytest.fixture(scope="module")
def folder(made: Simulation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inputs")
    write_inputs(made, path)
    return path


def plain_expression(rule: Regulation, text: str) -> list[float]:
    """The formula in the docstring of `regulation`, base by base, in Python floats."""
    pairs = {"A": "T", "C": "G", "G": "C", "T": "A"}
    total = [0.0] * len(rule.groups)
    for r in rule.regulators:
        width = len(r.log_odds)
        for start in range(len(text) - width + 1):
            site = text[start : start + width]
            for letters in (site, "".join(pairs[base] for base in reversed(site))):
                score = sum(float(r.log_odds[i, "ACGT".index(base)]) for i, base in enumerate(letters))
                occupancy = 1 / (1 + math.exp(-(score - r.threshold) / TEMPERATURE))
                near = math.exp(-abs(start + width // 2 - rule.tss) / rule.decay)
                for g in range(len(rule.groups)):
                    total[g] += float(r.weights[g]) * occupancy * near
    return [float(rule.base[t]) + total[g] for t, g in enumerate(rule.group_of_task)]


def test_expression_matches_the_formula_base_by_base(made: Simulation) -> None:
    rows = np.flatnonzero(made.genes["complete"])[:4]
    for row in rows:
        expected = plain_expression(made.regulation, bases.decode(made.windows[row]))
        np.testing.assert_allclose(made.noiseless[row], expected, rtol=0, atol=1e-10)
    assert made.noiseless.std() > 0.1


def test_a_gene_on_the_other_strand_of_the_same_sequence_has_the_same_expression(made: Simulation) -> None:
    up, down = SMALL.upstream, SMALL.downstream
    flipped = {chrom: bases.reverse_complement(codes) for chrom, codes in made.chromosomes.items()}
    size = made.genes["chrom"].map({chrom: len(codes) for chrom, codes in made.chromosomes.items()})
    mirrored = made.genes.assign(tss=size - 1 - made.genes["tss"], strand=made.genes["strand"].map({"+": "-", "-": "+"}))
    np.testing.assert_array_equal(made.regulation.expression(window_codes(flipped, mirrored, up, down)), made.noiseless)


def test_windows_match_the_genome(made: Simulation, folder: Path) -> None:
    fasta = genome.Genome(folder / "genome.fa")
    for row, gene in made.genes.iloc[::7].iterrows():
        first = gene.tss - SMALL.upstream if gene.strand == "+" else gene.tss + 1 - SMALL.downstream
        expected = fasta.codes(gene.chrom, first, first + SMALL.upstream + SMALL.downstream, gene.strand)
        np.testing.assert_array_equal(made.windows[row], expected)


def test_truth_reads_the_site_back_from_the_fasta(made: Simulation, folder: Path) -> None:
    fasta, sites = genome.Genome(folder / "genome.fa"), truth(made)
    by_id = {r.motif.id: r for r in made.regulation.regulators}
    tss = made.genes.set_index("gene_id")["tss"]
    strand = made.genes.set_index("gene_id")["strand"]
    assert set(sites["strand"]) == {"+", "-"} and set(sites["origin"]) == {"planted", "chance"}
    for site in sites.itertuples(index=False):
        rule = by_id[site.motif_id]
        codes = fasta.codes(site.chrom, site.start, site.end, site.strand)
        score = rule.log_odds[np.arange(len(codes)), codes].sum()
        assert 1 / (1 + math.exp(-(score - rule.threshold) / TEMPERATURE)) == pytest.approx(site.occupancy, abs=1e-9)
        width = site.end - site.start
        distance = site.start + width // 2 - tss[site.gene_id]
        if strand[site.gene_id] == "-":
            distance = tss[site.gene_id] - (site.end - 1 - width // 2)
        assert distance == site.from_tss


def test_most_planted_instances_are_occupied_and_chance_ones_are_rare(made: Simulation) -> None:
    sites = truth(made)
    planted = sites[sites["origin"] == "planted"]
    assert (planted["occupancy"] > 0.8).mean() > 0.85
    chance = (sites["origin"] == "chance").sum() / len(made.genes)
    assert chance < 0.25 * len(planted) / len(made.genes)


def test_contributions_sum_to_expression_but_for_weak_sites(made: Simulation) -> None:
    sites = truth(made)
    for g, group in enumerate(made.regulation.groups):
        total = sites.groupby("gene_id")[f"effect_{group}"].sum().reindex(made.genes["gene_id"]).fillna(0).to_numpy()
        task = int(np.flatnonzero(made.regulation.group_of_task == g)[0])
        rest = made.noiseless[:, task] - made.regulation.base[task] - total
        strength = max(abs(r.weights[g]) for r in made.regulation.regulators)
        # The rest comes from sites that are less than half occupied: few, each adding less than half a weight.
        assert np.abs(rest).mean() < 0.15 * strength
        assert np.corrcoef(total, made.noiseless[:, task])[0, 1] > 0.97


def test_decoys_have_no_effect(made: Simulation) -> None:
    sites = truth(made)
    effects = sites[[c for c in sites if c.startswith("effect_")]]
    assert (effects[sites["role"] == "decoy"] == 0).all(axis=None)
    assert (effects[sites["role"] == "shared"] > 0).all(axis=None)
    assert (effects[sites["role"] == "repressor"] <= 0).all(axis=None)
    own = sites["role"].isin(["activator", "repressor"])
    assert ((effects[own] != 0).sum(axis=1) == 1).all()


def test_windows_of_genes_do_not_overlap(made: Simulation) -> None:
    genes = made.genes
    forward = genes["strand"] == "+"
    start = np.where(forward, genes["tss"] - SMALL.upstream, np.minimum(genes["start"], genes["tss"] + 1 - SMALL.downstream))
    end = np.where(forward, np.maximum(genes["end"], genes["tss"] + SMALL.downstream), genes["tss"] + 1 + SMALL.upstream)
    for _, rows in genes.groupby("chrom").groups.items():
        assert (start[rows][1:] - end[rows][:-1] >= SMALL.spacing).all()
    size = genes["chrom"].map({chrom: len(codes) for chrom, codes in made.chromosomes.items()})
    np.testing.assert_array_equal(end <= size, genes["complete"])
    assert (~genes["complete"]).sum() == SMALL.n_truncated and (~genes["labelled"]).sum() == SMALL.n_unlabelled
    assert ((genes["start"] >= 0) & (genes["end"] <= size)).all()


def plain_alternative(made: Simulation, folder: Path, variant) -> str:
    """The window around the original TSS base, cut from the changed chromosome as text."""
    gene = made.genes.iloc[variant.row]
    text = bases.decode(made.chromosomes[variant.chrom])
    assert text[variant.pos : variant.pos + len(variant.ref)] == variant.ref
    left, right = text[: gene.tss], text[gene.tss + 1 :]
    if variant.pos < gene.tss:
        left = left[: variant.pos] + variant.alt + left[variant.pos + len(variant.ref) :]
    else:
        at = variant.pos - gene.tss - 1
        right = right[:at] + variant.alt + right[at + len(variant.ref) :]
    if gene.strand == "+":
        return left[-SMALL.upstream :] + text[gene.tss] + right[: SMALL.downstream - 1]
    window = left[len(left) - SMALL.downstream + 1 :] + text[gene.tss] + right[: SMALL.upstream]
    return bases.decode(bases.reverse_complement(bases.encode(window)))


def test_variant_effects_match_the_formula_on_strings(made: Simulation, folder: Path) -> None:
    variants = draw_variants(made)
    effects = variant_effects(made, variants)
    seen = set()
    for index, variant in enumerate(variants.itertuples(index=False)):
        if variant.row < 0:
            assert np.isnan(effects[index]).all()
            continue
        alternative = bases.encode(plain_alternative(made, folder, variant))[None]
        expected = made.regulation.expression(alternative)[0] - made.noiseless[variant.row]
        np.testing.assert_allclose(effects[index], expected, atol=1e-12)
        gene = made.genes.iloc[variant.row]
        upstream = (variant.pos < gene.tss) == (gene.strand == "+")
        seen.add((np.sign(len(variant.alt) - len(variant.ref)), gene.strand, upstream))
    assert {(size, strand, True) for size in (-1, 0, 1) for strand in "+-"} <= seen
    assert {side for size, _, side in seen if size != 0} == {True, False}
    broken = np.abs(effects[(variants["kind"] == "active").to_numpy()]).max(axis=1)
    spared = np.abs(effects[(variants["kind"] == "decoy").to_numpy()]).max(axis=1)
    assert np.median(broken) > 0.2 and np.median(spared) < 0.01


def test_vcf_is_valid_and_matches_the_genome(made: Simulation, folder: Path) -> None:
    fasta = pysam.FastaFile(str(folder / "genome.fa"))
    effects = variant_effects(made, variants := draw_variants(made))
    with pysam.VariantFile(str(folder / "variants.vcf")) as file:
        records = list(file)
    assert len(records) == len(variants)
    for record, expected in zip(records, effects, strict=True):
        if record.chrom not in fasta.references:
            continue
        agrees = fasta.fetch(record.chrom, record.start, record.stop) == record.ref
        assert agrees == (record.info["KIND"] not in ("ref_mismatch", "swapped"))
        alternative = fasta.fetch(record.chrom, record.start, record.start + len(record.alts[0])) == record.alts[0]
        assert not alternative or record.info["KIND"] in ("swapped", "indel")
        if "EFFECT" in record.info:
            np.testing.assert_allclose(record.info["EFFECT"], expected, atol=2e-5)
    kinds = [record.info["KIND"] for record in records]
    for kind, count in {"ref_mismatch": 2, "swapped": 1, "unknown_chromosome": 1, "far_from_genes": 1}.items():
        assert kinds.count(kind) == count
    order = [(record.rid, record.pos) for record in records]
    assert order == sorted(set(order))


def test_gtf_and_tables_match_the_simulation(made: Simulation, folder: Path) -> None:
    lines = [line.split("\t") for line in (folder / "genes.gtf").read_text().splitlines() if not line.startswith("#")]
    features = [fields for fields in lines if fields[2] == "gene"]
    assert len(features) == len(made.genes)
    for fields, gene in zip(features, made.genes.itertuples(index=False), strict=True):
        assert (fields[0], int(fields[3]) - 1, int(fields[4]), fields[6]) == (gene.chrom, gene.start, gene.end, gene.strand)
        assert f'gene_id "{gene.gene_id}"' in fields[8] and 'gene_biotype "protein_coding"' in fields[8]
        assert gene.tss == (gene.start if gene.strand == "+" else gene.end - 1)
    observed = pd.read_csv(folder / "expression.tsv", sep="\t", index_col="gene_id", na_values=["NA"])
    noiseless = pd.read_csv(folder / "expression_noiseless.tsv", sep="\t", index_col="gene_id")
    tasks = pd.read_csv(folder / "tasks.tsv", sep="\t")
    assert list(observed) == list(tasks["task"]) and len(observed) == SMALL.n_genes - SMALL.n_unlabelled
    assert 0 < observed.isna().sum().sum() < 0.05 * observed.size
    np.testing.assert_allclose(noiseless, made.noiseless[made.genes["labelled"]], rtol=1e-7)
    assert "\tNA" in (folder / "expression.tsv").read_text()


@pytest.mark.parametrize("possible", [0.5, 0.9])
def test_possible_r_matches_the_setting(possible: float) -> None:
    made = simulate(dataclasses.replace(SMALL, n_genes=600, possible_r=possible), seed=5)
    seen = ~np.isnan(made.observed)
    r = [np.corrcoef(made.noiseless[m, t], made.observed[m, t])[0, 1] for t, m in enumerate(seen.T)]
    # The standard error of r over 600 genes is (1 - r^2) / sqrt(600), a third of that for the mean of nine tasks.
    assert np.mean(r) == pytest.approx(possible, abs=4 * (1 - possible**2) / np.sqrt(600 * len(r)))


def test_the_same_seed_writes_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write_inputs(simulate(SMALL, seed=3), tmp_path)
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(path.name for path in tmp_path.iterdir()) and len(names) == 9
    for name in names:
        assert (folder / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_stages_do_not_disturb_each_other(made: Simulation) -> None:
    other = simulate(dataclasses.replace(SMALL, n_variants=10, possible_r=0.5, missing_fraction=0.3), seed=3)
    for chrom, codes in made.chromosomes.items():
        np.testing.assert_array_equal(codes, other.chromosomes[chrom])
    np.testing.assert_array_equal(made.noiseless, other.noiseless)
    assert any((simulate(SMALL, seed=4).chromosomes["chr1"][:500] != made.chromosomes["chr1"][:500]).tolist())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n_gene": 5}, "n_genes"),
        ({"groups": [{"name": "liver", "activator": ["HNF4A"]}]}, "activators"),
        ({"groups": [{"name": "liver", "activators": ["HNF4A"]}, {"name": "liver"}]}, "'liver' is listed twice"),
        ({"groups": [{"activators": ["HNF4A"]}]}, "is missing name"),
        ({"shared": ["HNF4B"]}, "HNF4A"),
        ({"decoys": ["HNF4A"]}, "MA0114.5 is listed twice"),
        ({"shared": "NRF1"}, "is not of type 'array'"),
        ({"instances_per_gene": 5}, "Reduce instances_per_gene"),
        ({"plant_upstream": 900}, "plant_upstream"),
        ({"jaspar_release": "JASPAR2025"}, "2024"),
        ({"possible_r": "high"}, "is not of type 'number'"),
        ({"n_genes": 10.5}, "is not of type 'integer'"),
        ({"n_genes": 15, "n_unlabelled": 6}, "increase n_genes"),
    ],
)
def test_invalid_settings_are_named(given: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        simulate(
            configuration.section("genome.simulate", **{"n_genes": 40, "n_chromosomes": 2, "n_truncated": 1, **given}), seed=0
        )


def test_n_scores_as_the_worst_base() -> None:
    motif = regulation.jaspar_motifs(["HNF4A"], "JASPAR2026")["HNF4A"]
    matrix = regulation.log_odds(motif, 0.42)
    codes = matrix.argmax(axis=1).astype(np.int8)[None]
    best = regulation.site_scores(codes, matrix)[0, 0]
    codes[0, 2] = bases.N
    assert regulation.site_scores(codes, matrix)[0, 0] == pytest.approx(best - np.ptp(matrix[2]))


def test_groups_without_motifs_of_their_own_follow_the_shared_ones() -> None:
    made = simulate(dataclasses.replace(SMALL, groups=(GroupSection("a", 1, (), ()), GroupSection("b", 2, (), ()))), seed=1)
    np.testing.assert_array_equal(made.noiseless[:, 0], made.noiseless[:, 1])
    assert made.noiseless.std() > 0
