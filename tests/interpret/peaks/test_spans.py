import numpy as np
import pytest

from cisnake.errors import InputError
from cisnake.interpret.peaks import spans


def brute_force(row, position, size, apart):
    kept = []
    for _, r, p, index in sorted((-s, r, p, i) for i, (r, p, s) in enumerate(zip(row, position, size, strict=True))):
        if all(r != other_row or abs(p - other) >= apart for _, other_row, other in kept):
            kept.append((index, r, p))
    return [index for index, *_ in kept]


@pytest.mark.parametrize("apart", [1, 2, 7, 60])
@pytest.mark.parametrize("levels", [3, 10_000])
@pytest.mark.parametrize("batch", [5, 50_000])
def test_the_highest_exclude_near_positions_in_their_row(monkeypatch, apart, levels, batch):
    monkeypatch.setattr(spans, "_BATCH", batch)
    rng = np.random.default_rng(apart)
    row, position = np.nonzero(rng.random((5, 50)) < 0.6)
    shuffled = rng.permutation(len(row))
    row, position, size = row[shuffled], position[shuffled], rng.integers(0, levels, len(row)) / 8
    assert spans.highest_apart(row, position, size, apart).tolist() == brute_force(row, position, size, apart)


def test_empty_input_keeps_nothing():
    assert len(spans.highest_apart(*np.empty((3, 0), int), 5)) == 0


def test_the_table_sums_each_span_and_finds_its_summit():
    scores = np.array([[1, -5, 2, 0, 3, 3], [0, 0, 1, -1, 0, 7]], np.float32)
    table = spans.span_table(scores, *np.array([[0, 0, 1, 1], [0, 3, 2, 5], [6, 6, 4, 6], [-1, 1, 1, 1]]))
    assert table["attribution"].tolist() == [4, 6, 0, 7]
    assert table["summit"].tolist() == [1, 4, 2, 5]  # of equal ones the more upstream
    assert table["height"].tolist() == [-5, 3, 1, 7]
    assert table["p_value"].isna().all()


def test_rows_are_counted_through_blocks_and_blocks_may_be_empty():
    def call(scores):
        row = np.arange(len(scores))
        return spans.span_table(scores, row[::-1], 0 * row, 1 + 0 * row, 1 + 0 * row)

    scores = np.arange(14.0).reshape(7, 2)
    found = spans.call_spans(call, [scores[:3], scores[3:3], scores[3:4], scores[4:]])
    assert found["row"].tolist() == list(range(7))
    assert found["attribution"].tolist() == scores[:, 0].tolist()
    assert len(spans.call_spans(call, [])) == 0
    assert list(spans.call_spans(call, [])) == list(found)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(wrong):
    scores = np.zeros((2, 9))
    scores[1, 8] = wrong
    with pytest.raises(InputError, match="not finite"):
        list(spans.as_blocks(lambda: iter([np.zeros((1, 9)), scores]))())
