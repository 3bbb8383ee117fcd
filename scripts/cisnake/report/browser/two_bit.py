"""Write genomes in the 2bit format, which UCSC requires for genomes that it does not provide.

https://genome.ucsc.edu/FAQ/FAQformat.html#format7
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from cisnake.data.genome import Genome
from cisnake.data.windows import find_unknown
from cisnake.errors import InputError
from cisnake.files import write_whole
from cisnake.program import Progress

_SIGNATURE = 0x1A412743
# Maps Cisnake's codes (A0 C1 G2 T3 N4) to those of the format (T0 C1 A2 G3). The code for N is arbitrary.
_CODES = np.array([2, 1, 3, 0, 0], dtype=np.uint8)
_PLACES = np.array([64, 16, 4, 1], dtype=np.uint8)
# A multiple of four, so that no byte is shared by two blocks.
_BASES_AT_ONCE = 1 << 24
# Files with more bytes need 64-bit offsets, which the format calls version 1.
_LONGEST = 1 << 32


def write_two_bit(genome: Genome, path: str | Path) -> None:
    r"""Write a genome as 2bit.

    Case is not kept, and letters other than A, C, G and T become N. At most 2²⁴ bases and the runs of N of one chromosome are
    in memory at a time.

    Raises
    ------
    InputError
        A chromosome name has more than 255 bytes, which the format does not support.

    Examples
    --------
    The last byte of the file holds the sequence TCAG, with two bits per base:

    >>> import tempfile
    >>> from pathlib import Path
    >>> from cisnake.data.genome import Genome
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "genome.fa").write_text(">chr1\nTCAG\n")
    ...     write_two_bit(Genome(f"{folder}/genome.fa"), f"{folder}/genome.2bit")
    ...     f"{Path(folder, 'genome.2bit').read_bytes()[-1]:08b}"
    '00011011'
    """
    names = {chrom: chrom.encode() for chrom in genome.sizes}
    for chrom, name in names.items():
        if len(name) > 255:
            raise InputError(
                f"genome {genome.path}: the name {chrom[:40]}… has {len(name)} bytes; 2bit supports at most 255: shorten it."
            )
    version = int(sum(genome.sizes.values()) // 4 + 64 * len(names) >= _LONGEST)
    offset_type = "<Q" if version else "<I"
    first = 16 + sum(1 + len(name) + struct.calcsize(offset_type) for name in names.values())
    progress = Progress("bases written as 2bit", sum(genome.sizes.values()))
    offsets = {}
    with write_whole(path) as part, open(part, "wb") as file:
        file.seek(first)
        for chrom, size in genome.sizes.items():
            offsets[chrom] = file.tell()
            unknown = find_unknown(genome, [chrom])
            starts, lengths = unknown["start"].to_numpy("<u4"), (unknown["end"] - unknown["start"]).to_numpy("<u4")
            file.write(struct.pack("<II", size, len(unknown)) + starts.tobytes() + lengths.tobytes())
            # Number of lower-case runs (none), and a reserved field.
            file.write(struct.pack("<II", 0, 0))
            for start in range(0, size, _BASES_AT_ONCE):
                end = min(start + _BASES_AT_ONCE, size)
                codes = _CODES[genome.codes(chrom, start, end)]
                codes = np.concatenate([codes, np.zeros(-len(codes) % 4, dtype=np.uint8)])
                file.write((codes.reshape(-1, 4) * _PLACES).sum(axis=1, dtype=np.uint8).tobytes())
                progress.advance(end - start)
        file.seek(0)
        file.write(struct.pack("<IIII", _SIGNATURE, version, len(names), 0))
        for chrom, name in names.items():
            file.write(struct.pack("<B", len(name)) + name + struct.pack(offset_type, offsets[chrom]))
