"""Round trips of genes, exons and sites in all formats, with any names and order."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st

from cisnake.data.annotation.features import read_exons, read_genes, read_tss

# Characters of a quoted value; names do not start or end with a blank.
NAMES = st.text("abcXYZ019 .;:=,#%'_-()|é", min_size=1, max_size=12).filter(lambda name: name.strip() == name)
PLAIN = st.text("abcXYZ019.:_-#%", min_size=1, max_size=12).filter(lambda name: not name.startswith("#"))


# Reading a table takes milliseconds, so fewer examples are used.
FEWER = settings(max_examples=settings().max_examples // 5)


class Gene(NamedTuple):
    id: str
    name: str
    chrom: str
    start: int
    end: int
    strand: str
    exons: list[tuple[int, int]]


@st.composite
def genes(draw, ids=NAMES) -> list[Gene]:
    made = []
    for gene_id in draw(st.lists(ids, min_size=1, max_size=5, unique=True)):
        start = draw(st.integers(0, 300))
        end = start + draw(st.integers(1, 200))
        exons = []
        for _ in range(draw(st.integers(0, 4))):
            first = draw(st.integers(start, end - 1))
            exons.append((first, draw(st.integers(first + 1, end))))
        chrom, strand = draw(st.sampled_from(["chr1", "2", "NC_3.1"])), draw(st.sampled_from("+-"))
        made.append(Gene(gene_id, draw(ids), chrom, start, end, strand, exons))
    return made


def bases(exons: list[tuple[int, int]]) -> set[int]:
    return {base for start, end in exons for base in range(start, end)}


def check(path: Path, made: list[Gene], named: bool = True) -> None:
    found = read_genes(path)[["gene_id", "gene_name", "chrom", "start", "end", "strand"]]
    expected = [(g.id, g.name if named else g.id, g.chrom, g.start, g.end, g.strand) for g in made]
    assert list(found.itertuples(index=False, name=None)) == expected
    exons = read_exons(path)
    assert set(exons["gene_id"]) == {gene.id for gene in made}
    for gene in made:
        of_gene = list(exons[exons["gene_id"] == gene.id][["start", "end"]].itertuples(index=False, name=None))
        assert bases(of_gene) == bases(gene.exons or [(gene.start, gene.end)])
        # Neither overlapping nor abutting.
        assert all(end < start for (_, end), (start, _) in itertools.pairwise(of_gene))


def write(path: Path, lines: list[str], data) -> None:
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    lines = [line for line in lines for line in ([line] if data.draw(st.integers(0, 3)) else [line, "", "# more", " "])]
    path.write_bytes((end.join(lines) + data.draw(st.sampled_from(["", end]))).encode())


@FEWER
@given(genes(), st.data())
def test_gtf(tmp_path: Path, made: list[Gene], data) -> None:
    lines, parts = [], []
    for gene in made:
        pairs = [f'gene_id "{gene.id}"', f'gene_name "{gene.name}"', 'note "gene_id wrong; gene_name wrong"', "level 2"]
        attributes = "; ".join(data.draw(st.permutations(pairs))) + data.draw(st.sampled_from(["", ";", "; "]))
        for feature, (start, end) in [("gene", (gene.start, gene.end)), *(("exon", exon) for exon in gene.exons)]:
            row = f"{gene.chrom}\tx\t{feature}\t{start + 1}\t{end}\t.\t{gene.strand}\t.\t{attributes}"
            (lines if feature == "gene" else parts).append(row)
    # Exons can be in any order, even before their genes.
    parts = data.draw(st.permutations(parts))
    cut = data.draw(st.integers(0, len(parts)))
    write(tmp_path / "a", [*parts[:cut], *lines, *parts[cut:]], data)
    check(tmp_path / "a", made)


@FEWER
@given(genes(), st.data())
def test_gff3(tmp_path: Path, made: list[Gene], data) -> None:
    lines, parts = ["##gff-version 3"], []
    for number, gene in enumerate(made):
        prefix = data.draw(st.sampled_from(["gene:", "gene-", ""]))
        # Ids that start with a prefix would lose it.
        prefix = prefix or ("gene:" if ":" in gene.id or "-" in gene.id else "")
        own = f"ID={quote(prefix + gene.id)}"
        place = f"{gene.start + 1}\t{gene.end}\t.\t{gene.strand}\t."
        lines.append(f"{gene.chrom}\tx\tgene\t{place}\t{own};Name={quote(gene.name)}")
        parent = own.removeprefix("ID=")
        parts.append(f"{gene.chrom}\tx\tmRNA\t{place}\tID=t{number};Parent={parent}")
        for start, end in gene.exons:
            parts.append(f"{gene.chrom}\tx\texon\t{start + 1}\t{end}\t.\t{gene.strand}\t.\tParent=t{number}")
    write(tmp_path / "a", [*lines, *data.draw(st.permutations(parts))], data)
    check(tmp_path / "a", made)


@FEWER
@given(genes(PLAIN), st.booleans(), st.data())
def test_bed(tmp_path: Path, made: list[Gene], wide: bool, data) -> None:
    lines = []
    for i, gene in enumerate(made):
        row = f"{gene.chrom}\t{gene.start}\t{gene.end}\t{gene.id}\t0\t{gene.strand}"
        if wide:
            # Blocks in the file do not overlap.
            exons = [(start, start + 1) for start in sorted({start for start, _ in gene.exons})] or [(gene.start, gene.end)]
            made[i] = gene._replace(exons=exons)
            sizes, starts = ",".join(str(e - s) for s, e in exons), ",".join(str(s - gene.start) for s, _ in exons)
            row += f"\t{gene.start}\t{gene.end}\t0\t{len(exons)}\t{sizes},\t{starts},"
        else:
            made[i] = gene._replace(exons=[])
        lines.append(row)
    write(tmp_path / "a", lines, data)
    check(tmp_path / "a", made, named=False)
    sites = read_tss(tmp_path / "a")
    expected = [(g.id, g.chrom, g.start if g.strand == "+" else g.end - 1, g.strand) for g in made]
    assert list(sites.itertuples(index=False, name=None)) == expected
