"""Write this fixture with Basenji's own writer, and the expected values with Basenji's own reader.

Run in an environment with Basenji's dependencies (TensorFlow 2.15):
python make_fixture.py <checkout of github.com/calico/basenji>
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

SEQ_LENGTH, POOL_WIDTH, CROP, TARGETS, PER_FILE = 64, 8, 8, 3, 3
BINS = (SEQ_LENGTH - 2 * CROP) // POOL_WIDTH
SPLITS = {"train": 7, "valid": 3, "test": 2}


def write(folder: Path, basenji: Path) -> None:
    rng = np.random.default_rng(0)
    (folder / "tfrecords").mkdir(parents=True, exist_ok=True)
    sequences = {chrom: rng.choice(list("ACGTacgtNR"), 300, p=[0.115] * 8 + [0.06, 0.02]) for chrom in ("chr1", "chr2")}
    # The bins of one tile start at the start of the chromosome, those of another end at its end: flanks are padded with N.
    starts = {"train": [0, 100, 252, 60, 148, 4, 200], "valid": [0, 48, 252], "test": [120, 168]}
    rows = [("chr1" if s == "train" else "chr2", i, i + SEQ_LENGTH - 2 * CROP, s) for s in SPLITS for i in starts[s]]
    (folder / "sequences.bed").write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
    (folder / "targets.txt").write_text(
        "\tidentifier\tfile\tclip\tclip_soft\tscale\tsum_stat\tdescription\n"
        "0\theat\theat.bw\t384\t64\t0.5\tsum_sqrt\tRNA:heat\n"
        "1\tcold\tcold.bw\t384\t\t1\tmean\tRNA:cold\n"
        "2\tacid\tacid.w5\t\t32\t2\tsum\tDNASE:acid\n"
    )
    statistics = {"num_targets": TARGETS, "seq_length": SEQ_LENGTH, "seq_1hot": True, "pool_width": POOL_WIDTH}
    statistics |= {"crop_bp": CROP, "target_length": BINS, **{f"{split}_seqs": n for split, n in SPLITS.items()}}
    (folder / "statistics.json").write_text(json.dumps(statistics, indent=4))
    with tempfile.TemporaryDirectory() as scratch:
        fasta = Path(scratch) / "genome.fa"
        fasta.write_text("".join(f">{chrom}\n{''.join(bases)}\n" for chrom, bases in sequences.items()))
        for task in range(TARGETS):
            with h5py.File(f"{scratch}/{task}.h5", "w") as file:
                file["targets"] = np.float16(rng.gamma(0.5, 10.0**task, (len(rows), BINS)))
        first = 0
        for split, n in SPLITS.items():
            # As basenji_data.py does: a split whose files are all full ends with an empty file.
            for i, start in enumerate(range(first, first + n + 1, PER_FILE)):
                command = [sys.executable, basenji / "bin/basenji_data_write.py", "-x", CROP, "-s", start]
                command += ["-e", min(start + PER_FILE, first + n), fasta, folder / "sequences.bed", scratch]
                command += [folder / f"tfrecords/{split}-{i}.tfr"]
                subprocess.run(list(map(str, command)), check=True)
            first += n


def read(folder: Path) -> None:
    from basenji.dataset import SeqDataset

    arrays = {}
    for split in SPLITS:
        batches = [(x.numpy(), y.numpy()) for x, y in SeqDataset(str(folder), split, batch_size=1, mode="eval").dataset]
        sequences, targets = (np.concatenate(parts) for parts in zip(*batches))
        arrays |= {f"{split}_sequences": sequences.astype(np.uint8), f"{split}_targets": targets}
    np.savez_compressed(folder / "expected.npz", **arrays)


if __name__ == "__main__":
    checkout = Path(sys.argv[1])
    sys.path[:0] = [str(checkout), str(checkout / "bin")]
    write(Path(__file__).parent, checkout)
    read(Path(__file__).parent)
