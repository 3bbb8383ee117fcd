import numpy as np
import pandas as pd
import pytest
from scipy.stats import fisher_exact

import pair_motifs
from cisnake.errors import InputError
from cisnake.files import read_table
from cisnake.interpret.motifs import pairs
from cisnake.interpret.motifs.pairs import PAIR_COLUMNS, first_of_overlapping, pair_table, read_places

TSS = 400


def hit(motif, gene, middle, strand="+", p=1e-5, peak=None, width=9, chrom=None, offset=None):
    """A hit at a distance from the TSS (of the base before its middle); each gene has its TSS at 1000 on its own chromosome."""
    first = TSS + middle - (width - 1) // 2
    offset = 1000 - TSS if offset is None else offset
    chrom = chrom or f"chr_{gene}"
    return {
        "motif_id": motif, "gene_id": gene, "peak_id": peak or f"{gene}_{middle}", "region": "peak", "chrom": chrom,
        "start": offset + first, "end": offset + first + width, "window_start": first, "window_end": first + width,
        "orientation": strand, "from_tss": middle, "p_value": p,
    }  # fmt: skip


def enrichment(clusters):
    rows = [(motif, motif.lower(), number) for number, motifs in clusters.items() for motif in motifs]
    table = pd.DataFrame(rows, columns=["motif_id", "motif_name", "cluster"])
    names = table.drop_duplicates("cluster").set_index("cluster")["motif_name"]
    return table.assign(cluster_name=table["cluster"].map(names), rank=[str(i + 1) for i in range(len(table))])


CLUSTERS = enrichment({"1": ["A1", "A2"], "2": ["B"], "3": ["C"]})


def places_of(tmp_path, hits, clusters=CLUSTERS, top=20):
    pd.DataFrame(hits).to_csv(tmp_path / "hits.tsv", sep="\t", index=False)
    return read_places(tmp_path / "hits.tsv", clusters, top)


def found(places):
    """(name, gene, centre from the TSS in bases, orientation) of every site."""
    return {
        (name, int(gene), float(centre) / 2, int(strand))
        for name, of in zip(places.names, places.sites, strict=True)
        for gene, centre, strand in zip(of.gene, of.centre, of.orientation, strict=True)
    }


def random_hits(rng, genes, planted=0):
    """A is 30 bases upstream of B in some genes; otherwise both are random, with a preferred position."""
    hits = []
    for number in range(genes):
        gene = f"g{number}"
        a, b = rng.normal([-120, -90], 50, 2).round().astype(int)
        strands = rng.choice(["+", "-"], 2)
        if number < planted:
            b, strands = a + 30, ["+", "+"]
        hits.append(hit("A1", gene, a, strands[0]))
        if rng.random() < 0.8 or number < planted:
            hits.append(hit("B", gene, b, strands[1]))
        if rng.random() < 0.3:
            hits.append(hit("C", gene, int(rng.normal(-60, 60)), "+"))
    return hits


def test_a_peak_is_named_once_and_a_place_of_the_genome_belongs_to_one_site(tmp_path):
    hits = [
        hit("A1", "g0", -50, peak="p0", p=1e-5), hit("A2", "g0", -49, "-", peak="p0", p=1e-6),
        hit("B", "g0", -30, peak="p0", p=1e-5),  # beside the best hit of its peak
        hit("B", "g0", -45, peak="p1", p=1e-5),  # in another peak, but over A2
        hit("C", "g0", -40, peak="p2", p=1e-4),  # over B, which is gone, and next to A2
        hit("Z", "g1", -10, p=1e-9),  # of no cluster: only its gene counts
        hit("A1", "g4", -100, p=1e-5, chrom="x", offset=0), hit("B", "g3", 20, p=1e-4, chrom="x", offset=0),
        hit("A1", "g2", -200, p=1e-5, chrom="x", offset=100),  # the place of that of g4, farther from its TSS
        {**hit("B", "g5", 0), "region": "window"},
    ]  # fmt: skip
    places = places_of(tmp_path, hits)
    assert places.n_genes == 5
    assert (places.names, places.numbers) == (["a1", "b", "c"], ["1", "2", "3"])
    # Widths are odd, so that the centre is half a base beyond the start of the middle base.
    assert found(places) == {("a1", 0, -48.5, -1), ("c", 0, -39.5, 1), ("a1", 4, -99.5, 1), ("b", 3, 20.5, 1)}
    assert found(places_of(tmp_path, hits[::-1])) == found(places)
    assert [name for name, *_ in sorted(found(places_of(tmp_path, hits, top=1)))] == ["a1", "a1"]


@pytest.mark.parametrize("width", [8, 9])
@pytest.mark.parametrize("middle", [-31, -30, 12])
def test_the_middle_of_a_site_is_found_from_its_base_before_the_middle(tmp_path, width, middle):
    places = places_of(tmp_path, [hit("A1", "g0", middle, width=width)])
    # Bases from -2 to 6 of a site of eight whose fourth base is at 1, or of nine whose fifth is at 2: the middle is 2, or 2.5.
    assert found(places) == {("a1", 0, middle + (1 if width == 8 else 0.5), 1)}
    assert places.sites[0].width.tolist() == [width]


def test_intervals_are_taken_best_first_as_a_loop_takes_them():
    rng = np.random.default_rng(0)
    for _ in range(30):
        n = int(rng.integers(0, 60))
        chrom, start = rng.choice(["a", "b"], n), rng.integers(0, 150, n)
        end = start + rng.integers(1, 15, n)
        kept = []
        for i in range(n):
            if not any(chrom[i] == chrom[j] and start[i] < end[j] and start[j] < end[i] for j in kept):
                kept.append(i)
        assert np.flatnonzero(first_of_overlapping(chrom, start, end)).tolist() == kept


def test_counts_and_fishers_test_are_those_of_the_tables_of_genes(tmp_path):
    rng = np.random.default_rng(1)
    hits = random_hits(rng, 60)
    table = pair_table(places_of(tmp_path, hits), 200, 20, 0)
    assert list(table) == list(PAIR_COLUMNS)
    assert len(table) == 6
    places = places_of(tmp_path, hits)
    genes = {name: set(of.gene.tolist()) for name, of in zip(places.names, places.sites, strict=True)}
    for row in table.itertuples():
        one, two = genes[row.first_name], genes[row.second_name]
        assert (row.n_genes, row.n_first, row.n_second) == (60, len(one), len(two))
        if row.first_name == row.second_name:
            assert row.n_both == 0
            assert np.isnan(row.p_value)
            assert np.isnan(row.spacing_p_value)
            continue
        both = len(one & two)
        cells = [[both, len(one) - both], [len(two) - both, 60 - len(one | two)]]
        assert row.n_both == both
        assert row.expected == pytest.approx(len(one) * len(two) / 60)
        assert row.p_value == pytest.approx(fisher_exact(cells, "greater")[1])
        corrected = np.array(cells) + 0.5
        assert row.odds_ratio == pytest.approx(corrected[0, 0] * corrected[1, 1] / corrected[0, 1] / corrected[1, 0])
        assert row.q_value >= row.p_value


def test_a_planted_distance_is_found_and_no_other(tmp_path):
    hits = random_hits(np.random.default_rng(2), 150, planted=30)
    table = pair_table(places_of(tmp_path, hits), 200, 200, 0)
    best = table.iloc[0]
    assert (best["first_name"], best["second_name"], best["orientation"]) == ("a1", "b", "first_second")
    assert (best["bin_start"], best["bin_end"]) == (30, 40)
    assert best["bin_count"] >= 30 > 3 * best["bin_expected"]
    # Tested again with more permutations, so that q-values can be small among many pairs.
    assert best["spacing_p_value"] == pytest.approx(1 / (200 * pairs.REFINED + 1))
    assert best["spacing_q_value"] < 0.01
    assert (table["spacing_q_value"].iloc[1:].dropna() > 0.05).all()


def test_processes_order_and_other_clusters_make_no_difference(tmp_path):
    hits = random_hits(np.random.default_rng(3), 40)
    one = pair_table(places_of(tmp_path, hits), 100, 30, 5)
    pd.testing.assert_frame_equal(one, pair_table(places_of(tmp_path, hits[::-1]), 100, 30, 5, processes=2))
    fewer = pair_table(places_of(tmp_path, hits, top=2), 100, 30, 5)
    names = ["first_name", "second_name"]
    both = one.merge(fewer, on=names)
    assert len(both) == len(fewer) == 3
    np.testing.assert_array_equal(both["spacing_p_value_x"], both["spacing_p_value_y"])
    other = one.merge(pair_table(places_of(tmp_path, hits), 100, 30, 6), on=names)
    assert (other["spacing_p_value_x"] != other["spacing_p_value_y"]).any()


def test_nothing_to_pair_gives_an_empty_table_and_nonsense_is_refused(tmp_path):
    nothing = places_of(tmp_path, [{**hit("A1", "g0", 0), "region": "window"}])
    table = pair_table(nothing, 200, 10, 0)
    assert len(table) == 6
    assert (table[["n_genes", "n_first", "n_both"]] == 0).all(axis=None)
    assert table["spacing_p_value"].isna().all()
    assert len(pair_table(places_of(tmp_path, [hit("A1", "g0", 0)], top=0), 200, 10, 0)) == 0
    for wrong in ({"max_distance": 5}, {"permutations": 0}, {"processes": 0}):
        with pytest.raises(InputError, match="pairs of motifs: the greatest distance"):
            pair_table(nothing, **{"max_distance": 200, "permutations": 10, "seed": 0} | wrong)


def test_the_script_writes_the_table(tmp_path):
    pd.DataFrame(random_hits(np.random.default_rng(4), 30)).to_csv(tmp_path / "hits.tsv", sep="\t", index=False)
    CLUSTERS.to_csv(tmp_path / "enrichment.tsv", sep="\t", index=False)
    arguments = [
        "--hits",
        tmp_path / "hits.tsv",
        "--enrichment",
        tmp_path / "enrichment.tsv",
        "--set",
        "motifs.pairs.permutations=100",
    ]
    arguments += ["--output", tmp_path / "pairs.tsv"]
    pair_motifs.main(pair_motifs.parser().parse_args([str(argument) for argument in arguments]))
    assert list(read_table(tmp_path / "pairs.tsv")) == list(PAIR_COLUMNS)
