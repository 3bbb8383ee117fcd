"""The calibration of q-values of variants thins variants to a tenth with an effect."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

from calibrate_variants import thin_effects, true_effects


def record(name, effects):
    return f"chr1\t{name[1:]}\t{name}\tA\tC\t.\tPASS\tKIND=random;GENE=g;EFFECT={effects}"


def test_a_tenth_of_the_variants_has_an_effect():
    silent, acting = [record(f"s{i}", "0,-0") for i in range(0, 60, 2)], [record(f"a{i}", "0,0.5") for i in range(1, 60, 2)]
    mixed = sorted([*silent, *acting], key=lambda line: int(line.split("\t")[1]))
    kept = thin_effects([*mixed, "chr1\t9\tx\tA\tC\t.\tPASS\tKIND=far"], np.random.default_rng(0))
    assert [line for line in kept if line in silent] == silent
    assert sum(line in acting for line in kept) == 3 and len(kept) == 33
    assert kept == [line for line in mixed if line in kept]
    assert true_effects(kept[0]).tolist() == [0, 0]
