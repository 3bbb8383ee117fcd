"""Read variants from VCF, check them against the genome, and write a VCF annotated with predicted effects."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pysam

from cisnake.data.genome import Genome, encode, match_chromosomes
from cisnake.errors import InputError
from cisnake.files import write_whole
from cisnake.program import log
from cisnake.text_files import open_text

SCORED = ("ok", "flipped")
INFO = "CISNAKE"
INFO_HEADER = (
    f'##INFO=<ID={INFO},Number=.,Type=String,Description="Predicted effect on expression, one entry per '
    "alternative allele and gene: 'allele|gene|status|task|effect|q|percentile', where task is the one with the largest "
    "absolute effect, effect is prediction(ALT) - prediction(REF), q and percentile compare it with control changes, and what "
    "is unknown is empty. "
    'Reserved characters of VCF are percent-encoded.">'
)

_COLUMNS = ("CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO")
# The columns up to ALT.
_NEEDED = 5
_BASES = frozenset("ACGTacgt")
# The largest position that a .tbi index can address.
_TABIX_END = 1 << 29


def read_variants(path: str | Path, genome: Genome) -> pd.DataFrame:
    """Read a VCF as a table with one row per alternative allele, in file order.

    No variant is dropped and no allele is normalised. The status of a variant that cannot be scored states the reason. The
    file is parsed as text, not by htslib, so that errors can name the line and `write_annotated` can preserve all other
    columns. Five columns (CHROM, POS, ID, REF, ALT) are enough: the header may be missing, and further columns that are missing
    are read as `.`; the log says so. To convert BCF, use `bcftools view`.

    Parameters
    ----------
    path: str or Path
        VCF, plain or compressed with gzip or bgzip.
    genome: Genome
        The genome to compare REF with. Its chromosome names may differ from those in the file by a leading `chr`.

    Returns
    -------
    pandas.DataFrame
        variant_id: the ID column, or `chrom:pos:ref:alt` (1-based position) if that is missing; alternative alleles of one
        record share its ID. chrom: the genome's name, or the file's if the genome lacks it. start, end: the position of REF,
        0-based, half-open. ref, alt: as in the file. record: index of the record in the file. status:

        - `ok`: the genome has REF;
        - `flipped`: the genome has ALT and not REF. The genome is the background of both alleles, and the effect is still
          prediction(ALT) - prediction(REF), with REF and ALT as in the file;
        - `mismatch`: the genome has neither allele, or does not have REF of a deletion (a match of the single base in ALT
          would be weak evidence);
        - `no_alt`: ALT is missing or identical to REF;
        - `unknown_ref`: REF contains N, so it cannot be compared with the genome;
        - `symbolic`: `*`, `<DEL>`, a breakend, or any other string with letters other than A, C, G, T;
        - `unknown_chromosome`, `out_of_range`: the position does not exist in the genome.

    Raises
    ------
    InputError
        The file is not a VCF, is damaged, or shares no chromosome with the genome. The message names the line if possible.
    """
    rows = []
    for index, (number, fields) in enumerate(_records(path, log.info)):
        chrom, position, identifier, ref, alts = fields[:5]
        if not position.isdigit():
            raise InputError(f"{path}, line {number}: POS is '{position}', which is not a position: fix the file.")
        if not ref or not alts:
            raise InputError(f"{path}, line {number}: {'ALT' if ref else 'REF'} is empty (use '.' for no ALT): fix the file.")
        start = int(position) - 1
        for alt in alts.split(","):
            name = f"{chrom}:{position}:{ref}:{alt}" if identifier == "." else identifier
            rows.append((name, chrom, start, start + len(ref), ref, alt, index))
    table = pd.DataFrame(rows, columns=["variant_id", "chrom", "start", "end", "ref", "alt", "record"])
    table = table.astype({"start": np.int64, "end": np.int64, "record": np.int64})
    names = match_chromosomes(table["chrom"], genome.sizes, f"the VCF {path}")
    table["chrom"] = [names.get(chrom, chrom) for chrom in table["chrom"]]
    columns = (table[column] for column in ("chrom", "start", "ref", "alt"))
    table["status"] = [_status(genome, *row) for row in zip(*columns, strict=True)]
    return table


def _status(genome: Genome, chrom: str, start: int, ref: str, alt: str) -> str:
    unscorable = unscorable_alleles(ref, alt)
    if unscorable:
        return unscorable
    if chrom not in genome.sizes:
        return "unknown_chromosome"
    if start < 0 or start + len(ref) > genome.sizes[chrom]:
        return "out_of_range"
    return compare_alleles(genome.codes(chrom, start, start + max(len(ref), len(alt))), ref, alt)


def unscorable_alleles(ref: str, alt: str) -> str:
    """Return `no_alt`, `symbolic` or `unknown_ref` for alleles that cannot be scored, and an empty string for others.

    Examples
    --------
    >>> from cisnake.variants.vcf import unscorable_alleles
    >>> [unscorable_alleles("A", alt) for alt in ("G", ".", "<DEL>")], unscorable_alleles("N", "A")
    (['', 'no_alt', 'symbolic'], 'unknown_ref')
    """
    if alt in ("", ".") or alt.upper() == ref.upper():
        return "no_alt"
    if not ref or not (_BASES | {"N", "n"}).issuperset(ref) or not _BASES.issuperset(alt):
        return "symbolic"
    return "unknown_ref" if "N" in ref.upper() else ""


def compare_alleles(sequence: np.ndarray, ref: str, alt: str) -> str:
    """Compare two alleles with a sequence, and return `ok` (it has REF), `flipped` (it has ALT) or `mismatch`.

    Parameters
    ----------
    sequence: numpy.ndarray, shape=(length of the longer allele,), dtype=int8
        Codes of the sequence from the first base of REF. A negative code is unknown and matches every base.
    ref, alt: str
        Alleles on the strand of `sequence`.

    Examples
    --------
    >>> from cisnake.data.genome import encode
    >>> from cisnake.variants.vcf import compare_alleles
    >>> sequence = encode("CATG")
    >>> compare_alleles(sequence, "C", "T"), compare_alleles(sequence, "T", "C"), compare_alleles(sequence, "CATG", "C")
    ('ok', 'flipped', 'ok')
    """

    def matches(allele: str) -> bool:
        codes = sequence[: len(allele)]
        return bool(((codes < 0) | (codes == encode(allele))).all())

    if matches(ref):
        return "ok"
    # The single base that a deletion keeps matches by chance one time in four.
    return "flipped" if len(alt) >= len(ref) and matches(alt) else "mismatch"


def write_annotated(source: str | Path, path: str | Path, annotations: Sequence[Sequence[str]]) -> None:
    """Write a copy of a VCF with the INFO field `CISNAKE`, bgzipped and, if the records are sorted, indexed.

    Parameters
    ----------
    source: str or Path
        The input VCF. An existing `CISNAKE` field is replaced; everything else is preserved. Missing headers and columns are
        added, so that the output is a valid VCF.
    path: str or Path
        The output file, `.vcf.gz`. Its index, `.tbi`, is written next to it.
    annotations: sequence of sequences of str
        Entries of the field for each record of `source`, formatted by `annotation`.
    """
    with write_whole(path) as part:
        places = []
        with pysam.BGZFile(str(part), "wb") as sink:
            sink.write(("\n".join(_header(source)) + "\n").encode("utf-8", "surrogateescape"))
            for entries, (_, fields) in zip(annotations, _records(source), strict=True):
                kept = [field for field in fields[7].split(";") if field != "." and not field.startswith(f"{INFO}=")]
                fields[7] = ";".join([*kept, f"{INFO}={','.join(entries)}"])
                sink.write(("\t".join(fields) + "\n").encode("utf-8", "surrogateescape"))
                places.append((fields[0], int(fields[1]), int(fields[1]) + len(fields[3])))
        if _indexable(places):
            with write_whole(f"{path}.tbi") as index:
                pysam.tabix_index(str(part), preset="vcf", index=str(index), force=True)
        else:
            # The index of an earlier run would be wrong.
            Path(f"{path}.tbi").unlink(missing_ok=True)


def annotation(
    alt: str, gene: str, status: str, task: str, effect: float, q: float = np.nan, percentile: float = np.nan
) -> str:
    """Format one entry of the INFO field.

    Parameters
    ----------
    alt, gene, status, task: str
        Reserved characters of VCF are percent-encoded.
    effect: float
        prediction(ALT) - prediction(REF); NaN is written as an empty field.
    q, percentile: float
        From the comparison of the effect with control changes. Default NaN: not compared, and written as empty fields.

    Examples
    --------
    >>> from cisnake.variants.vcf import annotation
    >>> annotation("T", "geneA", "ok", "liver, adult", -0.25, q=0.01)
    'T|geneA|ok|liver%2C%20adult|-0.25|0.01|'
    """
    numbers = ("" if np.isnan(number) else f"{number:.6g}" for number in (effect, q, percentile))
    return "|".join([*(_escape(text) for text in (alt, gene, status, task)), *numbers])


def _escape(text: str) -> str:
    return "".join(f"%{ord(letter):02X}" if letter in "%:;=,|" or letter.isspace() else letter for letter in text)


def _indexable(places: list[tuple[str, int, int]]) -> bool:
    chroms = [chrom for chrom, _ in itertools.groupby(chrom for chrom, _, _ in places)]
    ascending = all(a[0] != b[0] or a[1] <= b[1] for a, b in itertools.pairwise(places))
    return ascending and len(set(chroms)) == len(chroms) and all(end < _TABIX_END for _, _, end in places)


def _header(path: str | Path) -> Iterator[str]:
    """Yield the header of the annotated copy: that of a file, completed, with the line that describes the INFO field."""
    columns: list[str] = []
    lines = []
    for _, line in _lines(path):
        if line.startswith("##"):
            lines.append(line)
        elif _names_columns(line):
            columns = line.removeprefix("#").split("\t")
        elif line and not line.startswith("#"):
            break
    n_columns = next((len(fields) for _, fields in _records(path)), len(_COLUMNS))
    # Without a header, samples have no names.
    missing = [*_COLUMNS, "FORMAT", *(f"sample_{i}" for i in range(1, n_columns - len(_COLUMNS)))][:n_columns]
    if not lines or not lines[0].startswith("##fileformat="):
        yield "##fileformat=VCFv4.2"
    yield from (line for line in lines if not line.startswith(f"##INFO=<ID={INFO},"))
    yield INFO_HEADER
    yield "#" + "\t".join([*_COLUMNS[:_NEEDED], *(columns or missing)[_NEEDED:], *missing[len(columns or missing) :]])


def _names_columns(line: str) -> bool:
    return line.upper().startswith("#CHROM")


def _records(path: str | Path, notify: Callable[..., None] | None = None) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the columns of each record, at least eight; missing and empty ones after ALT are `.`.

    `notify` is called with a message and its arguments, once for each kind of departure from the format.
    """
    columns, named, complete = 0, False, notify is None
    for number, line in _lines(path):
        if line.startswith("#"):
            if _names_columns(line):
                columns, named = max(_count(path, number, line), len(_COLUMNS)), True
        elif line:
            n, first = _count(path, number, line), "the header" if named else "the first record"
            if not columns:
                columns = max(n, len(_COLUMNS))
                if notify is not None:
                    notify("%s has no line that starts with #CHROM: its columns are read as %s", path, ", ".join(_COLUMNS))
            if n > columns:
                raise InputError(f"{path}, line {number}: {n} tab-separated columns, but {first} has {columns}: fix the file.")
            if n < columns and not complete and notify is not None:
                notify(
                    "%s, line %d: %d of %d columns, as perhaps below: missing ones are read as '.'", path, number, n, columns
                )
                complete = True
            fields = line.split("\t") + ["."] * (columns - n)
            yield number, [field or "." if i == 2 or i >= _NEEDED else field for i, field in enumerate(fields)]
    if not columns:
        raise InputError(f"{path} has no records and no line that starts with #CHROM: is this a VCF file?")


def _count(path: str | Path, number: int, line: str) -> int:
    """Return the number of columns of a line, or raise an error if those up to ALT are not all there."""
    n = line.count("\t") + 1
    if n < _NEEDED:
        raise InputError(
            f"{path}, line {number}: {n} tab-separated columns, but a VCF has at least five ({', '.join(_COLUMNS[:_NEEDED])}): "
            "the line is truncated or separated by spaces, or this is not a VCF file."
        )
    return n


def _lines(path: str | Path) -> Iterator[tuple[int, str]]:
    path = Path(path)
    if not path.is_file():
        raise InputError(f"the VCF {path} does not exist: check its path.")
    number = 0
    try:
        with open_text(path, errors="surrogateescape", newline="\n") as handle:
            for number, line in enumerate(handle, 1):
                if number == 1 and line.startswith("BCF"):
                    raise InputError(f"{path} is a BCF file: convert it to VCF with `bcftools view`.")
                yield number, line.rstrip("\r\n")
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path} is damaged after line {number} ({error}): copy or regenerate it.") from error
