"""Measure time and memory of the first steps of a run on simulated inputs of human size.

Writes a genome of 3.1 Gb in 24 chromosomes, an annotation of 60,000 genes in GENCODE's format (3 million lines) and a matrix of
60,000 genes by 50 tasks into a folder (20 GB including the outputs). Then indexes the genome, selects genes and writes the data
set with windows of 2 and of 10 kb. Prints one line per step: wall time, and peak memory of the process and its children.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from machine import describe_machine

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
# Megabases of chromosomes 1 to 22, X and Y of GRCh38.
MEGABASES = [248, 242, 198, 190, 181, 170, 159, 145, 138, 133, 135, 133, 114, 107, 101, 90, 83, 80, 58, 64, 46, 50, 156, 57]
CHROMOSOMES = [f"chr{name}" for name in (*range(1, 23), "X", "Y")]
OUTPUTS = ("genes", "dropped", "tasks", "tasks-dropped", "summary")
N_GENES, N_TASKS, LINE = 60_000, 50, 60
CONFIG = ("annotation.exclude_chromosomes=[chrY]", "splits.val=[chr8]", "splits.test=[chr9]")
_POLL_SECONDS = 0.05


def main(args: argparse.Namespace) -> None:
    print(describe_machine())
    args.folder.mkdir(parents=True, exist_ok=True)
    sizes = {name: int(mb * 1_000_000 * args.fraction) for name, mb in zip(CHROMOSOMES, MEGABASES, strict=True)}
    genome, gtf, spans, matrix = (args.folder / name for name in ("genome.fa", "genes.gtf", "no_genes.gtf", "matrix.tsv"))
    try:
        rng = np.random.default_rng(0)
        write_genome(genome, sizes, rng)
        n_lines = write_annotation(gtf, sizes, int(N_GENES * args.fraction), rng)
        with open(gtf) as source, open(spans, "w") as file:
            file.writelines(line for line in source if "\tgene\t" not in line)
        write_matrix(matrix, int(N_GENES * args.fraction), rng)
        inputs = [f"--genome={genome}", f"--matrix={matrix}"]
        files = ", ".join(f"{path.name} {path.stat().st_size / 1e9:.3g} GB" for path in (genome, gtf, matrix))
        print(f"{files}; {n_lines} lines of GTF\n\n| step | wall time, s | peak memory, GB |\n|---|---|---|")
        report("index the genome", python(f"genome.Genome({str(genome)!r})"))
        report("read_genes, coding sequences", python(f"annotation.read_genes({str(gtf)!r}, feature='CDS')"))
        report("read_genes, GTF without gene rows", python(f"annotation.read_genes({str(spans)!r})"))
        report("read_exons", python(f"annotation.read_exons({str(gtf)!r})"))
        for side in args.sides:
            kb = f"{2 * side / 1000:g} kb"
            outputs = {name: args.folder / f"{name}_{side}" for name in OUTPUTS}
            keys = [*CONFIG, f"windows.upstream={side}", f"windows.downstream={side}"]
            select = [f"--gtf={gtf}", *inputs, *(f"--set={key}" for key in keys)]
            select += [f"--output-{name}={path}" for name, path in outputs.items()]
            report(f"select_genes.py, windows of {kb}", [sys.executable, str(SCRIPTS / "select_genes.py"), *select])
            write = [f"--genes={outputs['genes']}", *inputs, f"--output={args.folder / f'{side}.h5'}"]
            report(f"write_dataset.py, windows of {kb}", [sys.executable, str(SCRIPTS / "write_dataset.py"), *write])
    finally:
        if not args.keep:
            shutil.rmtree(args.folder)


def write_genome(path: Path, sizes: dict[str, int], rng: np.random.Generator) -> None:
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)
    with open(path, "wb") as file:
        for name, size in sizes.items():
            file.write(f">{name}\n".encode())
            for first in range(0, size, LINE * 1_000_000):
                n = min(LINE * 1_000_000, size - first)
                # Four bases per random byte, because drawing random numbers takes most of the time.
                four = np.frombuffer(rng.bytes(-(-n // 4)), dtype=np.uint8)
                bases = letters[(four[:, None] >> np.array([0, 2, 4, 6], dtype=np.uint8)) & 3].ravel()[:n]
                whole = n // LINE * LINE
                lines = np.full((whole // LINE, LINE + 1), ord("\n"), dtype=np.uint8)
                lines[:, :LINE] = bases[:whole].reshape(-1, LINE)
                file.write(lines.tobytes())
                if whole < n:
                    file.write(bases[whole:].tobytes() + b"\n")


def write_annotation(path: Path, sizes: dict[str, int], n_genes: int, rng: np.random.Generator) -> int:
    """Write genes with 1 to 8 transcripts of 1 to 10 coding exons each, and return the number of lines."""
    names = list(sizes)
    share = np.array(list(sizes.values())) / sum(sizes.values())
    n_lines, exon_id = 0, 0
    with open(path, "w") as file:
        gene = 0
        for name, count in zip(names, rng.multinomial(n_genes, share), strict=True):
            starts = np.sort(rng.integers(20_000, sizes[name] - 60_000, count))
            for start in starts.tolist():
                gene += 1
                strand = "+-"[gene % 2]
                n_transcripts, body = int(rng.integers(1, 9)), int(rng.integers(1000, 30_000))
                gene_id = f'gene_id "ENSG{gene:011d}.{gene % 17}";'
                kind = f'gene_type "protein_coding"; gene_name "GENE{gene}";'
                rows = [f"{name}\tHAVANA\tgene\t{start + 1}\t{start + body}\t.\t{strand}\t.\t{gene_id} {kind} level 2;\n"]
                for transcript in range(n_transcripts):
                    transcript_id = f"ENST{gene:08d}{transcript:03d}"
                    tail = (
                        f'{gene_id} transcript_id "{transcript_id}.1"; {kind} transcript_type "protein_coding"; '
                        f'transcript_name "GENE{gene}-{transcript + 201}";'
                    )
                    rest = 'level 2; transcript_support_level "1"; tag "basic"; tag "CCDS"; havana_gene "OTTHUMG00001.1";'
                    place = f"{start + 1}\t{start + body}"
                    rows.append(f"{name}\tHAVANA\ttranscript\t{place}\t.\t{strand}\t.\t{tail} {rest}\n")
                    n_exons = int(rng.integers(1, 11))
                    step = body // n_exons
                    for exon in range(n_exons):
                        exon_id += 1
                        place = f"{start + exon * step + 1}\t{start + exon * step + step // 3 + 1}"
                        for feature, frame in (("exon", "."), ("CDS", "0")):
                            rows.append(
                                f"{name}\tHAVANA\t{feature}\t{place}\t.\t{strand}\t{frame}\t{tail} exon_number {exon + 1}; "
                                f'exon_id "ENSE{exon_id:011d}.1"; {rest}\n'
                            )
                n_lines += len(rows)
                file.writelines(rows)
    return n_lines


def write_matrix(path: Path, n_genes: int, rng: np.random.Generator) -> None:
    with open(path, "w") as file:
        file.write("\t".join(["gene", *(f"task_{i}" for i in range(N_TASKS))]) + "\n")
        for gene in range(1, n_genes + 1):
            cells = "\t".join(f"{value:.4f}" for value in rng.normal(size=N_TASKS))
            file.write(f"ENSG{gene:011d}\t{cells}\n")


def python(statement: str) -> list[str]:
    code = f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); from cisnake.data import annotation, genome; {statement}"
    return [sys.executable, "-c", code]


def report(step: str, command: list[str]) -> None:
    started = time.monotonic()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    peak = [0]
    watcher = threading.Thread(target=watch, args=(process, peak))
    watcher.start()
    _, messages = process.communicate()
    seconds = time.monotonic() - started
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{step} failed:\n{messages}")
    print(f"| {step} | {seconds:.1f} | {peak[0] / 1e9:.2f} |", flush=True)


def watch(process: subprocess.Popen[str], peak: list[int]) -> None:
    """Update `peak` with the resident memory of a process and its descendants, measured 20 times per second."""
    while process.poll() is None:
        peak[0] = max(peak[0], sum(map(resident, descendants(process.pid))))
        time.sleep(_POLL_SECONDS)


def descendants(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        try:
            for thread in os.listdir(f"/proc/{parent}/task"):
                found += map(int, Path(f"/proc/{parent}/task/{thread}/children").read_text().split())
        except OSError:
            continue
    return found


def resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--folder", type=Path, required=True, metavar="DIR", help="new folder for the files; removed at the end")
    p.add_argument("--fraction", type=float, default=1.0, help="size of the inputs as a fraction of human size (default: 1)")
    p.add_argument(
        "--sides",
        type=int,
        nargs="+",
        default=[1000, 5000],
        metavar="BASES",
        help="bases on either side of the TSS (default: 1000 5000)",
    )
    p.add_argument("--keep", action="store_true", help="keep the files")
    return p


if __name__ == "__main__":
    main(parser().parse_args())
