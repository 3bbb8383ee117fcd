"""Coordinates of genes on both strands, and the reason for each dropped gene."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cisnake import configuration
from cisnake.data.annotation.features import read_genes, read_tss
from cisnake.data.genome.bases import decode
from cisnake.data.genome.fasta import Genome
from cisnake.data.windows.gene_windows import MatrixGenes, match_ids, place_tss, place_windows, read_genes_table, select_genes
from cisnake.errors import InputError
from cisnake.files import write_table

ANNOTATION = {
    "feature": "gene",
    "match_by": "gene_id",
    "tss_max_distance": 1000,
    "biotypes": [],
    "exclude": {},
    "exclude_chromosomes": [],
}
WINDOWS = {"anchor": "tss", "upstream": 20, "downstream": 30, "max_n_fraction": 0.05}
PAIR = str.maketrans("ACGTN", "TGCAN")


def read(text: str, strand: str) -> str:
    return text if strand == "+" else text.translate(PAIR)[::-1]


def table(**columns) -> pd.DataFrame:
    return pd.DataFrame({"gene_id": [f"g{i}" for i in range(len(columns["start"]))], "chrom": "c", **columns})


@pytest.fixture
def select(tiny, tmp_path: Path):
    """Select genes of the tiny inputs, with rows added to the annotation and other settings."""

    def run(extra: str = "", ids: list[str] | None = None, unmeasured: tuple[str, ...] = (), bed: str = "", **settings):
        gtf = tmp_path / "more.gtf"
        gtf.write_text(tiny.gtf.read_text() + extra)
        tss = None
        if bed:
            (tmp_path / "tss.bed").write_text(bed)
            tss = read_tss(tmp_path / "tss.bed")
        ids = ids or [line.split("\t")[0] for line in tiny.matrix.read_text().splitlines()[1:]]
        annotation, windows = (
            configuration.section(name, **defaults | {key: value for key, value in settings.items() if key in defaults})
            for name, defaults in (("annotation", ANNOTATION), ("windows", WINDOWS))
        )
        genes = read_genes(gtf, list(annotation.exclude))
        measured = ~pd.Index(ids).isin(unmeasured)
        genome = Genome(settings.get("fasta", tiny.fasta))
        matrix = MatrixGenes(pd.Index(ids), measured, tasks=settings.get("tasks", ()))
        return select_genes(genes, tss, genome, annotation, windows, matrix)

    return run


def reasons(dropped: pd.DataFrame) -> dict[str, tuple[str, str]]:
    return {row.gene_id: (row.reason, row.detail) for row in dropped.itertuples()}


@pytest.mark.parametrize("anchor", ["tss", "start"])
@pytest.mark.parametrize(("upstream", "downstream"), [(20, 30), (1, 1), (90, 7), (3, 80)])
def test_windows_against_strings(anchor, upstream, downstream):
    """Label every base of a chromosome, and read windows as text."""
    rng = np.random.default_rng(0)
    n = 60
    start = rng.integers(100, 300, n)
    genes = table(start=start, end=start + rng.integers(1, 60, n), strand=rng.choice(["+", "-"], n))
    back = rng.integers(0, 40, n)
    forward = genes["strand"] == "+"
    genes["tss"] = np.where(forward, genes["start"] - back, genes["end"] - 1 + back)
    placed = place_windows(genes, anchor, upstream, downstream)
    assert (placed["window_end"] - placed["window_start"] == upstream + downstream).all()
    for gene in placed.itertuples():
        # Number every base; numbers increase or decrease in the direction of the gene.
        window = list(range(gene.window_start, gene.window_end))
        window = window if gene.strand == "+" else window[::-1]
        first = gene.start if gene.strand == "+" else gene.end - 1
        assert window[upstream] == (gene.tss if anchor == "tss" else first)
        body = range(gene.tss, gene.end) if gene.strand == "+" else range(gene.start, gene.tss + 1)
        mask = [gene.mask_start <= i < gene.mask_end for i in range(len(window))]
        assert mask == [base in body for base in window]
        # Counted from the window and not clipped to it, so that the TSS is correct even outside.
        assert gene.mask_start == (gene.tss - window[0] if gene.strand == "+" else window[0] - gene.tss)
        assert gene.mask_end - gene.mask_start == len(body)


SITES = {
    "g0": [("c", 505, "+"), ("c", 480, "-"), ("d", 500, "+"), ("c", 399, "+")],
    "g1": [("c", 594, "-"), ("c", 599, "+"), ("d", 599, "-"), ("c", 700, "-")],
    "g2": [("c", 1900, "+"), ("c", 1990, "+"), ("c", 1950, "+"), ("c", 2010, "+")],
    "g3": [("c", 2199, "-"), ("c", 2109, "-"), ("c", 2150, "-"), ("c", 2089, "-")],
    "other": [("c", 500, "+")],
}


def measured_sites() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two genes on either strand, and sites that are mirror images."""
    genes = table(start=[500, 500, 2000, 2000], end=[600, 600, 2100, 2100], strand=["+", "-", "+", "-"])
    rows = [(gene, *row) for gene in SITES for row in SITES[gene]]
    return genes, pd.DataFrame(rows, columns=["gene_id", "chrom", "tss", "strand"])


def test_the_nearest_measured_tss_is_used_on_either_side():
    genes, bed = measured_sites()
    found, outcome = place_tss(genes, bed, 100)
    # Of two sites at the same distance, the upstream one is used.
    assert found["tss"].tolist() == [505, 594, 1990, 2109] and set(found["tss_source"]) == {"bed"}
    expected = {
        "g0": ["used", "strand", "chromosome", "distance"],
        "g1": ["used", "strand", "chromosome", "distance"],
        "g2": ["not_nearest", "used", "not_nearest", "not_nearest"],
        "g3": ["not_nearest", "used", "not_nearest", "not_nearest"],
        "other": ["unknown_id"],
    }
    assert {gene: outcome[bed["gene_id"] == gene].tolist() for gene in expected} == expected
    assert place_tss(genes, bed, 4)[0]["tss"].tolist() == [500, 599, 2000, 2099]
    assert place_tss(genes, bed, 5)[0]["tss"].tolist() == [505, 594, 2000, 2099]
    shuffled = bed.sample(frac=1, random_state=1)
    again, outcome_again = place_tss(genes, shuffled, 100)
    pd.testing.assert_frame_equal(again, found)
    assert outcome_again.sort_index().tolist() == outcome.tolist()


def test_from_the_start_codon_only_an_upstream_tss_is_used():
    genes, bed = measured_sites()
    found, outcome = place_tss(genes, bed, 100, upstream_only=True)
    assert found["tss"].tolist() == [500, 599, 1990, 2109]
    assert found["tss_source"].tolist() == ["annotation", "annotation", "bed", "bed"]
    assert outcome[bed["gene_id"] == "g0"].tolist() == ["distance", "strand", "chromosome", "distance"]
    assert place_tss(genes, bed, 101, upstream_only=True)[0]["tss"].tolist() == [399, 700, 1990, 2109]
    assert place_tss(genes, None, 100)[0]["tss"].tolist() == [500, 599, 2000, 2099]


def test_tss_of_a_bed_reaches_the_window(select, gene_row):
    bed = "1\t90\t91\tG1a\t0\t+\n1\t330\t335\tG1b\t0\t-\n1\t1\t2\tother\t0\t+\n1\t104\t105\tG1a\t0\t+\n"
    bed += "4\t9\t10\tG1a\t0\t+\n1\t490\t491\tG1d\t0\t-\n1\t252\t253\tlost\t0\t+\n"
    kept, _, summary = select(gene_row("chr1", 250, 260, "+", gene_id="lost"), bed=bed)
    genes = kept.set_index("gene_id")
    assert genes.loc["G1a", ["tss", "tss_source", "window_start"]].tolist() == [104, "bed", 84]
    assert genes.loc["G1b", ["tss", "tss_source", "window_end"]].tolist() == [334, "bed", 355]
    assert genes.loc["G1d", ["tss", "mask_start", "mask_end"]].tolist() == [490, 20, 81]
    assert summary["tss_source"] == {"annotation": 9, "bed": 3} and summary["notices"] == []
    assert summary["tss_bed"] == {"used": 3, "not_nearest": 1, "unknown_id": 1, "chromosome": 1, "gene_dropped": 1}
    assert "tss_bed" not in select()[2]
    coding = select(bed=bed, feature="CDS")[0].set_index("gene_id")["tss"]
    assert coding[["G1a", "G1b", "G1d"]].tolist() == [90, 334, 499]
    with pytest.raises(InputError, match=r"tss_bed has g1b; the annotation has G1a, G1b, .*column 4 must be the gene_id"):
        select(bed="chr1\t90\t91\tg1b\t0\t+\n")
    with pytest.raises(InputError, match=r"a prefix such as gene: or transcript: \(gene:G1b, G1b\)"):
        select(bed="chr1\t90\t91\tgene:G1b\t0\t+\n")
    with pytest.raises(InputError, match=r"annotation\.tss_bed"):
        select(bed="chrom1\t90\t91\tG1a\t0\t+\n")


def test_windows_match_the_genome(select, tiny):
    kept, dropped, summary = select()
    assert len(kept) == 12 and dropped.empty
    assert summary["n_annotated"] == summary["n_kept"] == 12 and summary["dropped"] == {} and summary["notices"] == []
    genome = Genome(tiny.fasta)
    for gene in kept.itertuples():
        text = tiny.chromosomes[gene.chrom]
        first = gene.start if gene.strand == "+" else gene.end - 1
        expected = text[first - 20 : first + 30] if gene.strand == "+" else text[first - 29 : first + 21]
        assert decode(genome.codes(gene.chrom, gene.window_start, gene.window_end, gene.strand)) == read(expected, gene.strand)
    assert kept["window_start"].tolist() == kept.sort_values(["chrom", "window_start"])["window_start"].tolist()


def test_order_is_that_of_the_genome(select, tiny, tmp_path: Path):
    path = tmp_path / "turned.fa"
    path.write_text("".join(f">{name}\n{tiny.chromosomes[name]}\n" for name in ("chr3", "chr1", "chr2")))
    assert select(fasta=path)[0]["chrom"].unique().tolist() == ["chr3", "chr1", "chr2"]


def test_every_reason_is_reported(select, gene_row, tiny, tmp_path: Path):
    extra = "".join(
        [
            gene_row("chr1", 150, 310, "+", gene_id="G1a", gene_biotype="coding"),
            gene_row("chr1", 430, 500, "+", gene_id="G1c", gene_biotype="coding"),
            gene_row("chrM", 100, 200, "+", gene_id="mito", gene_biotype="coding"),
            gene_row("chr2", 300, 310, "+", gene_id="lnc", gene_biotype="lncRNA"),
            gene_row("chr2", 300, 310, "+", gene_id="doubt", gene_biotype="coding", status="Dubious"),
            gene_row("scaffold", 300, 310, "+", gene_id="astray", gene_biotype="coding"),
            gene_row("chr2", 300, 310, "+", gene_id="unseen", gene_biotype="coding", gene_name="U"),
            gene_row("chr2", 300, 310, "+", gene_id="empty", gene_biotype="coding"),
            gene_row("chr2", 300, 310, "+", gene_id="twice", gene_biotype="coding"),
            gene_row("chr2", 250, 260, "+", gene_id="unknown", gene_biotype="coding"),
        ]
    )
    text = tiny.chromosomes["chr2"]
    path = tmp_path / "n.fa"
    path.write_text(
        f">chr1\n{tiny.chromosomes['chr1']}\n>chr2\n{text[:240]}NNN{text[243:]}\n>chr3\n{tiny.chromosomes['chr3']}\n"
    )
    every = [line.split("\t")[0] for line in tiny.matrix.read_text().splitlines()[1:]]
    ids = [*every, "mito", "lnc", "doubt", "astray", "empty", "twice", "twice", "unknown", "stranger"]
    kept, dropped, summary = select(
        extra,
        ids,
        unmeasured=("empty",),
        fasta=path,
        biotypes=["coding"],
        exclude={"status": ["Dubious"]},
        exclude_chromosomes=["chrM"],
    )
    found = reasons(dropped)
    assert found == {
        "G1a": ("duplicate_id", "the annotation has an earlier gene with this id"),
        "G1c": ("several_loci", "chr1:340-420 (+), chr1:430-500 (+)"),
        "mito": ("excluded_chromosome", "chrM"),
        "lnc": ("other_biotype", "lncRNA"),
        "doubt": ("excluded_attribute", "status Dubious"),
        "astray": ("chromosome_missing", "scaffold is not in the genome"),
        "unseen": ("no_label", "not in the matrix, or all values are missing"),
        "empty": ("no_label", "not in the matrix, or all values are missing"),
        "twice": ("duplicate_id", "the matrix has several rows with this id"),
        "unknown": ("too_many_n", "6.0 % of the window is N"),
    }
    assert list(dropped) == ["gene_id", "gene_name", "chrom", "start", "end", "strand", "reason", "detail", "matrix_id"]
    unseen = dropped[dropped["gene_id"] == "unseen"].values.tolist()
    assert [row[:-1] for row in unseen] == [["unseen", "U", "chr2", 300, 310, "+", *found["unseen"]]]
    assert dropped.set_index("gene_id").loc["lnc", "matrix_id"] == "lnc" and pd.isna(unseen[0][-1])
    assert sorted(kept["gene_id"]) == sorted(set(every) - {"G1c"})
    assert summary["n_annotated"] == 22 and summary["n_kept"] == 11 and summary["n_dropped"] == 11
    assert summary["dropped"]["duplicate_id"] == 2 and sum(summary["dropped"].values()) == 11
    assert summary["notices"] == [
        "1 gene ids occur at several loci, and it is unknown which one was measured; these genes are dropped: G1c.",
        "1 ids of the matrix are not in the annotation and are ignored.",
    ]
    # A window with exactly the permitted fraction is kept.
    assert "unknown" in set(select(extra, ids, fasta=path, max_n_fraction=0.06)[0]["gene_id"])


@pytest.mark.parametrize(
    ("start", "end", "strand", "kept"),
    [
        (20, 50, "+", True),
        (19, 50, "+", False),
        (570, 580, "+", True),
        (571, 580, "+", False),
        (0, 30, "-", True),
        (0, 29, "-", False),
        (570, 580, "-", True),
        (570, 581, "-", False),
    ],
)
def test_windows_may_touch_but_not_pass_the_chromosome_ends(select, gene_row, start, end, strand, kept):
    genes, dropped, _ = select(gene_row("chr1", start, end, strand, gene_id="edge"), ids=["edge"])
    assert ("edge" in set(genes["gene_id"])) == kept
    assert kept or reasons(dropped)["edge"][0] == "near_chromosome_end"
    if kept:
        row = genes.set_index("gene_id").loc["edge"]
        assert 0 in (row["window_start"], 600 - row["window_end"])


def test_version_suffixes_match_both_ways():
    with_version, without = pd.Series(["ENSG00000000001.12", "ENSG00000000002.1"]), pd.Index(["ENSG00000000001", "x"])
    found, n = match_ids(with_version, without)
    assert found[0] == "ENSG00000000001" and pd.isna(found[1]) and n == 1
    found, n = match_ids(pd.Series(["ENSMUSG00000000001"]), pd.Index(["ENSMUSG00000000001.3", "y"]))
    assert found.tolist() == ["ENSMUSG00000000001.3"] and n == 1
    found, n = match_ids(pd.Series(["ENSG00000000001.12"]), pd.Index(["ENSG00000000001.3"]))
    assert found.tolist() == ["ENSG00000000001.3"] and n == 1
    # An identical version is preferred, and does not count as stripped.
    found, n = match_ids(pd.Series(["ENSG00000000001.3"]), pd.Index(["ENSG00000000001.3", "ENSG00000000001.4"]))
    assert found.tolist() == ["ENSG00000000001.3"] and n == 0


def test_ambiguous_versions_do_not_match_but_a_repeated_row_is_still_that_row():
    found, n = match_ids(pd.Series(["ENSG00000000001"]), pd.Index(["ENSG00000000001.1", "ENSG00000000001.2"]))
    assert found.isna().all() and n == 0
    found, _ = match_ids(pd.Series(["ENSG00000000001"]), pd.Index(["ENSG00000000001.1", "ENSG00000000001.1"]))
    assert found.tolist() == ["ENSG00000000001.1"]


@pytest.mark.parametrize(
    ("wanted", "known"), [("F01D5.2", "F01D5"), ("F01D5", "F01D5.2"), ("F01D5.1", "F01D5.2"), ("A.1", "A")]
)
def test_dots_in_other_ids_are_not_versions(wanted, known):
    found, n = match_ids(pd.Series([wanted]), pd.Index([known]))
    assert found.isna().all() and n == 0


def test_stripped_ids_are_counted_and_no_row_serves_two_genes(select, gene_row):
    extra = "".join(
        gene_row("chr1", start, start + 20, "+", gene_id=f"ENSG0000000000{i}.{version}")
        for start, i, version in [(50, 1, 4), (110, 1, 5), (150, 2, 1), (200, 3, 1)]
    )
    ids = ["ENSG00000000001", "ENSG00000000002.7", "ENSG00000000003", "ENSG00000000003"]
    kept, dropped, summary = select(extra, ids)
    assert kept[["gene_id", "matrix_id"]].values.tolist() == [
        ["ENSG00000000001.4", "ENSG00000000001"],
        ["ENSG00000000002.1", "ENSG00000000002.7"],
    ]
    found = reasons(dropped)
    assert found["ENSG00000000001.5"] == ("duplicate_id", "an earlier gene matches the same row of the matrix")
    assert found["ENSG00000000003.1"][0] == "duplicate_id"
    assert summary["n_version_stripped"] == 4 and any("version suffix" in notice for notice in summary["notices"])


def test_chromosome_names_without_chr_are_matched_with_a_notice(select, tiny, tmp_path: Path):
    path = tmp_path / "plain.fa"
    path.write_text("".join(f">{name[3:]}\n{text}\n" for name, text in tiny.chromosomes.items()))
    kept, _, summary = select(fasta=path)
    assert kept["chrom"].unique().tolist() == ["1", "2", "3"] and len(kept) == 12
    assert len(summary["notices"]) == 1 and "3 chromosomes" in summary["notices"][0]
    path.write_text(">I\nACGT\n>II\nACGT\n")
    with pytest.raises(InputError, match="has chr1, chr2, chr3; the genome has I, II"):
        select(fasta=path)


def test_genes_table_round_trip(select, tmp_path: Path):
    kept = select()[0].assign(fold=0, split="train")
    kept.loc[0, "gene_id"] = "NA"
    write_table(kept, tmp_path / "genes.tsv")
    again = read_genes_table(tmp_path / "genes.tsv")
    pd.testing.assert_frame_equal(again, kept, check_dtype=False)
    assert again["window_start"].dtype == np.int64


def test_filters_that_match_no_gene_are_reported(select):
    settings = {"exclude_chromosomes": ["MT"], "biotypes": ["coding", "protein"], "exclude": {"gene_nam": ["x"]}}
    notices = " ".join(select(**settings)[2]["notices"])
    for words in (
        "no gene has chrom 'MT'; values include chr1, chr2",
        "no gene has gene_biotype 'protein'",
        "no gene has gene_nam 'x'",
    ):
        assert words in notices
    assert "'coding'" not in notices
    assert not any("no gene has" in notice for notice in select()[2]["notices"])


def test_genes_without_a_strand_are_left_out(select, gene_row):
    kept, dropped, summary = select(gene_row("chr1", 250, 280, ".", gene_id="G1a2"), ids=["G1a", "G1a2"])
    assert reasons(dropped)["G1a2"] == ("no_strand", "the annotation gives no strand")
    assert kept["gene_id"].tolist() == ["G1a"] and summary["dropped"]["no_strand"] == 1


def test_copies_of_a_gene_never_take_the_row_of_the_first(select, gene_row):
    """GENCODE's copies in the pseudoautosomal region of Y, with a suffix."""
    x, y = "ENSG00000000301.15", "ENSG00000000301.15_PAR_Y"
    extra = gene_row("chr1", 250, 280, "+", gene_id=x) + gene_row("chr2", 250, 280, "+", gene_id=y)
    for ids, expected in (([x], [x]), (["ENSG00000000301"], [x]), ([x, y], [x, y])):
        kept, dropped, _ = select(extra, ids)
        assert kept["gene_id"].tolist() == expected
        found = dropped[dropped["gene_id"].isin([x, y])][["gene_id", "chrom", "reason"]].values.tolist()
        assert found == ([] if y in expected else [[y, "chr2", "no_label"]])


@pytest.mark.parametrize(
    ("places", "loci"),
    [
        ([("chr1", 300, 310, "+"), ("chr2", 300, 310, "+")], 2),
        ([("chr1", 300, 310, "+"), ("chr1", 300, 310, "-")], 2),
        ([("chr1", 500, 510, "-"), ("chr1", 300, 310, "-")], 2),
        ([("chr1", 300, 310, "+"), ("chr1", 311, 320, "+"), ("chr3", 1, 9, "-"), ("chr2", 1, 9, "-")], 4),
        ([("chr1", 300, 310, "+"), ("chr1", 320, 340, "+"), ("chr1", 305, 325, "+")], 1),
        ([("chr1", 300, 310, "-"), ("chr1", 300, 310, "-")], 1),
        ([("chr1", 300, 310, "-"), ("chrUn", 300, 310, "-"), ("chrM", 7, 9, "+")], 1),
        ([("chrUn", 300, 310, "-"), ("chrM", 7, 9, "+"), ("chr1", 300, 310, "+")], 1),
    ],
)
@pytest.mark.parametrize("feature", ["gene", "exon"])
def test_an_id_at_several_loci_is_never_one_gene(tiny, gene_row, tmp_path: Path, places, loci: int, feature: str):
    """Loci on chromosomes that the genome lacks or the run excludes do not count."""
    path = tmp_path / "loci.gtf"
    rows = [gene_row(*place, feature, gene_id="many", transcript_id=f"t{i}") for i, place in enumerate(places)]
    path.write_text("".join(rows) + gene_row("chr1", 100, 200, "+", feature, gene_id="one", transcript_id="x"))
    annotation = configuration.section("annotation", exclude_chromosomes=["chrM"])
    windows = configuration.section("windows", **WINDOWS)
    matrix = MatrixGenes(pd.Index(["many", "one"]), np.ones(2, bool))
    kept, dropped, summary = select_genes(read_genes(path), None, Genome(tiny.fasta), annotation, windows, matrix)
    if loci == 1:
        assert kept["gene_id"].tolist() == ["one", "many"] and "several_loci" not in set(dropped["reason"])
        assert kept["chrom"].tolist() == ["chr1", "chr1"] and kept["start"].tolist() == [100, 300]
    else:
        assert kept["gene_id"].tolist() == ["one"] and set(dropped["reason"]) == {"several_loci"}
        detail = dropped["detail"].iloc[0]
        assert detail.count(":") == min(loci, 3) and detail.endswith(" and 1 more") == (loci > 3)
        assert any("several loci" in notice and notice.endswith("dropped: many.") for notice in summary["notices"])


def test_genes_are_matched_by_name_and_shared_names_are_dropped(select, gene_row):
    extra = "".join(
        gene_row(chrom, start, start + 20, "+", gene_id=gene_id, gene_name=name)
        for gene_id, name, chrom, start in [
            ("E1", "SHARED", "chr1", 50), ("E2", "SHARED", "chr2", 50), ("E3", "ALONE", "chr1", 250),
            ("E4", "ALONE", "chrM", 50), ("E5", "unnamed", "chr3", 50),
        ]
    )  # fmt: skip
    ids = ["SHARED", "ALONE", "g1a", "E3", "stranger"]
    kept, dropped, summary = select(extra, ids, match_by="gene_name")
    assert kept[["gene_id", "matrix_id"]].values.tolist() == [["G1a", "g1a"], ["E3", "ALONE"]]
    found = reasons(dropped)
    assert found["E1"] == found["E2"] == ("ambiguous_name", "the gene_name is shared by E1, E2")
    assert found["E5"][0] == found["G1b"][0] == "no_label" and found["E4"][0] == "chromosome_missing"
    assert any(notice.endswith("dropped: SHARED.") and notice.startswith("1 gene names") for notice in summary["notices"])


def test_a_failed_join_with_the_matrix_is_explained(select, tiny):
    shown = "the matrix has g1a, g1b; the annotation has G1a, G1b, G1c and 9 more"
    for ids, settings, message in (
        (["g1a", "g1b"], {}, rf"{shown}\. .*set annotation\.match_by to gene_name"),
        (["G1a"], {"match_by": "gene_name"}, "set annotation.match_by to gene_id"),
        (["gene:G1a"], {}, r"a prefix such as gene: or transcript: \(gene:G1a, G1a\)"),
        (["heat", "cold"], {"tasks": ["G1a", "G1b"]}, "the matrix has heat, cold; .* The matrix is transposed, with tasks"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            select(ids=ids, **settings)
    # If only a few ids match, the run goes on with a notice.
    notices = select(ids=["G1a", "g1b", "g1c"])[2]["notices"]
    assert len(notices) == 1 and notices[0].startswith(
        "2 ids of the matrix are not in the annotation and are ignored: the matrix"
    )
    assert "the matrix has g1b, g1c; the annotation has G1b, G1c, G1d and 8 more" in notices[0]


def test_ambiguous_letters_in_windows_are_reported(select, tiny, tmp_path: Path):
    path = tmp_path / "iupac.fa"
    text = dict(tiny.chromosomes)
    # G1a's window is 80 to 130; the letters at 0 are in no window.
    text["chr1"] = "YY" + text["chr1"][2:100] + "RN" + text["chr1"][102:]
    path.write_text("".join(f">{name}\n{bases}\n" for name, bases in text.items()))
    assert any(notice.startswith("1 letters in windows are not A, C, G, T or N") for notice in select(fasta=path)[2]["notices"])
    assert not any("letters in windows" in notice for notice in select()[2]["notices"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("\tfold", "\tpart"), "has no column fold"),
        (lambda text: text[: text.rindex("\t")], r"line 13: fold is not an integer"),
        (lambda text: text[: text.rindex("\t") - 20], r"line 13: \w+ is not an integer"),
        (lambda text: text.replace("\t100\t", "\t1e2\t", 1), "line 2: start is not an integer"),
        (lambda text: "", "cannot be read as a table"),
    ],
)
def test_a_broken_genes_table_is_named(select, tmp_path: Path, change, message: str):
    write_table(select()[0].assign(split="train", fold=0), tmp_path / "genes.tsv")
    (tmp_path / "genes.tsv").write_text(change((tmp_path / "genes.tsv").read_text().rstrip("\n")))
    with pytest.raises(InputError, match=rf"genes\.tsv.*{message}"):
        read_genes_table(tmp_path / "genes.tsv")
    with pytest.raises(InputError, match="does not exist"):
        read_genes_table(tmp_path / "none.tsv")
