"""The intact inputs of a small run, of which the corpus breaks one at a time."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyBigWig
import pysam

SIZES = {"chr1": 600, "chr2": 600, "chr3": 600}
# Configuration keys by dotted name, with values in the notation of `--set`.
WINDOWS = {"windows.upstream": "20", "windows.downstream": "30"}
SPLITS = {"splits.val": "[chr2]", "splits.test": "[chr3]"}
CONTRAST = {"attribution.contrasts": "{one: {on_tasks: [heat], off_tasks: [cold]}}"}
BINS = {"targets.bin_size": "10", "targets.crop": "0"}


def write_inputs(folder: Path) -> None:
    """Write all user inputs, and the small results that later programs read."""
    rng = np.random.default_rng(0)
    texts = {name: "".join(rng.choice(list("ACGT"), size)) for name, size in SIZES.items()}
    (folder / "genome.fa").write_text("".join(f">{name}\n{text}\n" for name, text in texts.items()))
    rows, cells, sites, parts = [], ["gene\theat\tcold"], [], ["gene_id\tsplit"]
    for chrom, split in zip(SIZES, ("train", "val", "test"), strict=True):
        for i, (start, end, strand) in enumerate([(100, 160, "+"), (200, 330, "-"), (340, 420, "+"), (430, 500, "-")]):
            gene = f"{chrom}_{i}"
            rows.append(f'{chrom}\tx\tgene\t{start + 1}\t{end}\t.\t{strand}\t.\tgene_id "{gene}"; gene_biotype "coding";')
            cells.append(f"{gene}\t{rng.normal():.4f}\t{rng.normal():.4f}")
            site = start if strand == "+" else end - 1
            sites.append(f"{chrom}\t{site}\t{site + 1}\t{gene}\t0\t{strand}")
            parts.append(f"{gene}\t{split}")
    for name, lines in {"genes.gtf": rows, "matrix.tsv": cells, "tss.bed": sites, "splits.tsv": parts}.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    (folder / "tasks.tsv").write_text("task\tgroup\nheat\ta\ncold\tb\n")
    base = texts["chr1"][99]
    record = f"chr1\t100\tv1\t{base}\t{'A' if base != 'A' else 'C'}\t.\t.\t."
    (folder / "variants.vcf").write_text(f"##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n{record}\n")
    (folder / "motifs.meme").write_text(
        "MEME version 4\n\nALPHABET= ACGT\n\nMOTIF M1 one\nletter-probability matrix: alength= 4 w= 2\n1 0 0 0\n0 1 0 0\n"
    )
    (folder / "params.yaml").write_text("model: {trunk: [{name: conv_block, filters: 4}]}\ntrain: {batch_size: 4, loss: mse}\n")
    (folder / "genes.txt").write_text("chr1_0\n")
    _write_tracks(folder)
    _write_matrices(folder, cells)
    for name in ("attributions.h5", "hits.h5", "words.h5"):
        with h5py.File(folder / name, "w") as file:
            file["nothing"] = np.zeros(100_000)
    hit = {"motif_id": "M1", "gene_id": "chr1_0", "peak_id": "p", "region": "peak", "chrom": "chr1", "orientation": "+"}
    hit |= {"start": 10, "end": 12, "window_start": 10, "window_end": 12, "from_tss": 1, "p_value": 0.1}
    pd.DataFrame([hit]).to_csv(folder / "hits.tsv", sep="\t", index=False)
    motif = {"motif_id": "M1", "motif_name": "one", "cluster": "1", "cluster_name": "one", "rank": 1}
    pd.DataFrame([motif]).to_csv(folder / "enrichment.tsv", sep="\t", index=False)
    (folder / "model.keras").write_bytes(b"PK\x03\x04" + bytes(1000))


def _write_tracks(folder: Path) -> None:
    with pyBigWig.open(str(folder / "track.bw"), "w") as file:
        file.addHeader(list(SIZES.items()))
        for name, size in SIZES.items():
            file.addEntries(name, 0, values=np.random.default_rng(1).random(size).tolist(), span=1, step=1)
    header = {"HD": {"VN": "1.6", "SO": "coordinate"}, "SQ": [{"SN": name, "LN": size} for name, size in SIZES.items()]}
    with pysam.AlignmentFile(folder / "reads.bam", "wb", header=header) as file:
        for i in range(3000):
            read = pysam.AlignedSegment(file.header)
            read.query_name, read.reference_id, read.reference_start = f"r{i}", i // 1000, i % 1000 // 2
            read.mapping_quality, read.cigarstring, read.query_sequence = 60, "20M", "ACGTA" * 4
            file.write(read)
    pysam.index(str(folder / "reads.bam"))
    (folder / "intervals.bed").write_text("chr1\t10\t30\nchr2\t5\t50\n")
    (folder / "fragments.tsv").write_text("chr1\t10\t30\tcell\t1\nchr2\t5\t50\tcell\t2\n")
    (folder / "tracks.tsv").write_text("identifier\tfile\nt1\ttrack.bw\n")
    counted = {"bam": "reads.bam", "bed": "intervals.bed", "fragments": "fragments.tsv"}
    lines = "".join(f"{form}_track\t{file}\t{form}\n" for form, file in counted.items())
    (folder / "counted.tsv").write_text("identifier\tfile\tformat\n" + lines)


def _write_matrices(folder: Path, cells: list[str]) -> None:
    import anndata

    table = pd.DataFrame(
        [line.split("\t")[1:] for line in cells[1:]], [line.split("\t")[0] for line in cells[1:]], ["heat", "cold"]
    )
    obs = pd.DataFrame({"kind": ["a", "b"]}, index=table.columns)
    anndata.AnnData(table.T.astype(np.float32).round().abs(), obs).write_h5ad(folder / "matrix.h5ad")
    rows = "".join(f"{line.split(chr(9))[0]}\tx\t" + "\t".join(line.split("\t")[1:]) + "\n" for line in cells[1:])
    (folder / "matrix.gct").write_text(f"#1.2\n{len(cells) - 1}\t2\nName\tDescription\theat\tcold\n{rows}")
    market = folder / "market"
    market.mkdir()
    entries = "".join(f"{i} {j} 1.5\n" for i in range(1, len(cells)) for j in (1, 2))
    (market / "matrix.mtx").write_text(
        f"%%MatrixMarket matrix coordinate real general\n{len(cells) - 1} 2 {2 * len(cells) - 2}\n{entries}"
    )
    (market / "features.tsv").write_text("".join(f"{line.split(chr(9))[0]}\tx\tGene Expression\n" for line in cells[1:]))
    (market / "barcodes.tsv").write_text("heat\ncold\n")


def options(program: str, folder: Path, output: Path) -> dict[str, str]:
    """Return the options with which a program succeeds on the intact inputs (programs with a network only start)."""
    given: dict[str, dict[str, str]] = {
        "select_genes": {
            "genome": "genome.fa", "gtf": "genes.gtf", "matrix": "matrix.tsv", "tss-bed": "tss.bed", "tasks": "tasks.tsv",
            **WINDOWS, **SPLITS,
        },
        "write_dataset": {"genes": "results/genes", "genome": "genome.fa", "matrix": "matrix.tsv"},
        "make_track": {"tracks": "counted.tsv", "track": "bed_track", "genome": "genome.fa", "run.data_dir": "."},
        "make_tiles": {"genome": "genome.fa", "gaps": "intervals.bed", **SPLITS, **WINDOWS, **BINS},
        "write_coverage": {
            "windows": "results/genes", "genome": "genome.fa", "tracks": "tracks.tsv", "run.data_dir": ".",
            "converted": "converted", **BINS,
        },
        "aggregate_cells": {"cells": "matrix.h5ad", "targets.pseudobulks.by": "[kind]"},
        "fetch_motifs": {"motifs.source": "motifs.meme"},
        "call_peaks": {"attributions": "attributions.h5"},
        "scan_motifs": {"dataset": "results/dataset.h5", "motifs": "motifs.meme"},
        "export_hits": {"hits": "hits.h5"},
        "pair_motifs": {"hits": "hits.tsv", "enrichment": "enrichment.tsv"},
        "train_model": {
            "dataset": "results/dataset.h5", "model.params": "params.yaml", "checkpoints": "checkpoints",
        },
        "add_words": {
            "dataset": "results/dataset.h5", "words": "words.h5", "networks": "fold_0", "train.replicates": "1",
        },
        "fit_words": {"dataset": "results/dataset.h5", "windows.upstream": "20"},
        "fit_baselines": {
            "dataset": "results/dataset.h5", "tasks": "tasks.tsv", "evaluate.baseline": "{k: 3, alpha: 1}",
            "windows.upstream": "20", **CONTRAST,
        },
        "attribute_genes": {
            "dataset": "results/dataset.h5", "models": "fold_0/replicate_0/model.keras", "tasks": "tasks.tsv",
            "attribution.genes": "genes.txt", **CONTRAST,
        },
        "score_variants": {
            "vcf": "variants.vcf", "genome": "genome.fa", "genes": "results/genes", "dataset": "results/dataset.h5",
            "models": "fold_0/replicate_0/model.keras",
        },
    }  # fmt: skip
    outputs = {
        "select_genes": ("genes", "dropped", "tasks", "tasks-dropped", "summary"), "make_tiles": ("", "summary"),
        "aggregate_cells": ("", "dropped"), "call_peaks": ("tsv", "bed"), "score_variants": ("tsv", "vcf"),
        "train_model": ("model", "params", "history"), "add_words": ("", "weights"), "fit_baselines": ("", "choices"),
    }  # fmt: skip
    named = {f"output-{name}" if name else "output": str(output / (name or "output")) for name in outputs.get(program, ("",))}
    files = {key: str(folder / value) if (folder / value).exists() else value for key, value in given[program].items()}
    return files | named


def command_line(given: Mapping[str, str | None]) -> list[str]:
    """Return the command line for options and configuration keys (which contain a dot); values of None are left out."""
    words = [f"--set={key}={value}" if "." in key else f"--{key}={value}" for key, value in given.items() if value is not None]
    return words


def write_results(folder: Path) -> None:
    """Write genes.tsv and dataset.h5 with the programs."""
    import select_genes
    import write_dataset

    results = folder / "results"
    for module in (select_genes, write_dataset):
        given = options(module.__name__, folder, results)
        if module is write_dataset:
            given["output"] = str(results / "dataset.h5")
        module.main(module.parser().parse_args(command_line(given)))


if __name__ == "__main__":
    write_inputs(Path(sys.argv[1]))
    write_results(Path(sys.argv[1]))
