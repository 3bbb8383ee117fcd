from itertools import pairwise

import numpy as np
import pytest

from cisnake.data.genome import encode
from cisnake.errors import InputError
from cisnake.words.table import WordBlock, WordTable, count_words, read_word_table, word_blocks, write_word_table


def plain_counts(sequence, block):
    """Count words one by one."""
    counts = dict.fromkeys(range(4**block.k), 0)
    for start in range(block.start, block.end, block.step):
        word = sequence[start : start + block.k]
        if len(word) == block.k and "N" not in word:
            counts[sum("ACGT".index(base) * 4**power for power, base in enumerate(reversed(word)))] += 1
    return list(counts.values())


@pytest.mark.parametrize("block", [WordBlock(2, 0, 9), WordBlock(3, 4, 8), WordBlock(3, 2, 30, 3), WordBlock(1, 29, 30)])
def test_words_are_counted_one_by_one(block):
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list("ACGTN"), 30, p=[0.24, 0.24, 0.24, 0.24, 0.04])) for _ in range(20)]
    codes = np.stack([encode(sequence) for sequence in sequences])
    expected = [plain_counts(sequence, block) for sequence in sequences]
    np.testing.assert_array_equal(count_words(codes, [block]), expected)
    both = count_words(codes, [block, WordBlock(1, 0, 30)])
    np.testing.assert_array_equal(both[:, :-4], expected)


def test_blocks_cover_each_side_of_the_anchor_once():
    blocks = word_blocks(500, 1000)
    assert blocks[0] == (6, 0, 1500, 1, True)
    for k in (5, 3):
        plain = sorted(block[1:3] for block in blocks if block.k == k and block.step == 1)
        assert plain[0][0] == 0 and plain[-1][1] == 1500 and 500 in [start for start, _ in plain]
        assert all(a[1] == b[0] for a, b in pairwise(plain))
    assert [block.start for block in blocks if block.step == 3] == [500, 501, 502]


@pytest.mark.parametrize(("upstream", "downstream"), [(0, 400), (400, 0), (3, 2), (100, 100)])
def test_blocks_of_small_windows_fit(upstream, downstream):
    blocks = word_blocks(upstream, downstream)
    assert blocks and all(0 <= b.start < b.end <= upstream + downstream for b in blocks)
    counts = count_words(np.zeros((1, upstream + downstream), np.int8), blocks)
    assert counts.shape == (1, sum(4**block.k for block in blocks))


def test_tables_survive_writing(tmp_path):
    rng = np.random.default_rng(0)
    blocks = (WordBlock(2, 0, 4), WordBlock(1, 1, 6, 3))
    table = WordTable(blocks, rng.normal(size=(20, 3)).astype(np.float32), np.ones(3, np.float32), 10.0, 100.0)
    write_word_table(table, tmp_path / "words.h5")
    read = read_word_table(tmp_path / "words.h5", 3, 6)
    codes = rng.integers(0, 5, (7, 6)).astype(np.int8)
    assert read.blocks == blocks and (read.mean_penalty, read.deviation_penalty) == (10, 100)
    np.testing.assert_array_equal(read.predict(codes), table.predict(codes))
    np.testing.assert_allclose(table.predict(codes), count_words(codes, blocks).astype(float) @ table.table + 1, rtol=1e-5)
    for n_tasks, length in ((2, 6), (3, 5)):
        with pytest.raises(InputError, match="for other tasks or windows than the network"):
            read_word_table(tmp_path / "words.h5", n_tasks, length)
    (tmp_path / "words.h5").write_bytes(b"no")
    with pytest.raises(InputError, match="run the rule fit_words again"):
        read_word_table(tmp_path / "words.h5", 3, 6)
