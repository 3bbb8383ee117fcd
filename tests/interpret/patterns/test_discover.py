from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import discover_patterns
from cisnake.data.genome.bases import N, decode, encode, reverse_complement
from cisnake.data.motif_database import Motif, read_meme, write_meme
from cisnake.errors import InputError
from cisnake.files import read_table
from cisnake.interpret.attribution.file import AttributionFile, write_attributions
from cisnake.interpret.patterns import discover, files, tomtom

RAISES, LOWERS = encode("TGACTCAGC"), encode("CCGGAAGTG")
N_GENES, LENGTH = 160, 150
NUMBERS = {"start": "int", "end": "int", "window_start": "int", "window_end": "int", "contribution": "float"}

# Numba compiles both libraries on first use, which takes a minute or two, and caches the result.
SLOW = pytest.mark.slow


def write_file(path, codes, hypothetical, strands, mask_start, keep=True):
    n, length = codes.shape
    start = 1000 * np.arange(n)
    windows = pd.DataFrame({"gene_id": [f"g{i}" for i in range(n)], "chrom": "chr1", "start": start, "end": start + length})
    windows = windows.assign(strand=strands, mask_start=mask_start, mask_end=length, fold=0, split="test", measured=0)
    attrs = {"contrast": "c", "on_tasks": ["a"], "off_tasks": [], "models": [], "replicates": 1, "score": "specificity"}
    one_hot = np.eye(5, 4, dtype=np.float32)[codes]
    with write_attributions(path, windows, length, attrs, hypothetical=keep) as append:
        kept = {"hypothetical": hypothetical.swapaxes(1, 2)} if keep else {}
        append((one_hot * hypothetical).swapaxes(1, 2), codes, np.zeros(n), np.zeros(n), **kept)
    return AttributionFile(path)


def planted(rng):
    """Random windows, each with a word that raises and one that lowers the score, on either strand, and contributions."""
    codes = rng.integers(0, 4, (N_GENES, LENGTH)).astype(np.int8)
    hypothetical = rng.normal(0, 0.02, (N_GENES, LENGTH, 4)).astype(np.float32)
    places = []
    for gene in range(N_GENES):
        for word, sign, low in ((RAISES, 1, 25), (LOWERS, -1, 85)):
            at, turned = low + rng.integers(0, 25), bool(rng.integers(0, 2))
            own = reverse_complement(word) if turned else word
            codes[gene, at : at + len(word)] = own
            hypothetical[gene, at : at + len(word)] += sign * (np.eye(4)[own] - 0.25)
            places.append((gene, at, turned, sign))
    return codes, hypothetical, pd.DataFrame(places, columns=["gene", "at", "turned", "sign"])


def database(rng):
    """Random motifs, followed by the motifs of the two words."""
    others = [Motif(f"M{i}", f"m{i}", rng.dirichlet(np.full(4, 0.4), rng.integers(6, 14)), 20) for i in range(40)]
    words = [("MRAISES", RAISES), ("MLOWERS", reverse_complement(LOWERS))]
    return others + [Motif(name, name.lower(), np.where(np.eye(4)[word] > 0, 0.97, 0.01), 100) for name, word in words]


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    rng = np.random.default_rng(3)
    codes, hypothetical, places = planted(rng)
    strands = np.where(rng.random(N_GENES) < 0.5, "+", "-").astype(object)
    file = write_file(tmp_path_factory.mktemp("patterns") / "c.h5", codes, hypothetical, strands, 75)
    return file, codes, hypothetical, places


@pytest.fixture(scope="module")
def found(example):
    return discover.discover_patterns(example[0])


def as_planted(pattern):
    """Whether a pattern has the orientation of its word."""
    word = RAISES if pattern.sign == "+" else LOWERS
    text = pattern.consensus.upper()
    assert (text in decode(word)) != (text in decode(reverse_complement(word))), text
    return text in decode(word)


@pytest.mark.patterns
@SLOW
def test_planted_words_are_found_with_their_signs(found):
    for name, sign in (("positive", "+"), ("negative", "-")):
        of_sign = [pattern for pattern in found if pattern.sign == sign]
        assert [pattern.id for pattern in of_sign] == [f"{name}_{i + 1}" for i in range(len(of_sign))]
        sizes = [len(pattern.seqlets) for pattern in of_sign]
        assert sizes == sorted(sizes, reverse=True)
    assert {pattern.sign for pattern in found} == {"+", "-"}
    for pattern in found:
        assert len(pattern.consensus) >= 8
        as_planted(pattern)
        np.testing.assert_allclose(pattern.probabilities.sum(axis=1), 1)
        assert pattern.probabilities.max(axis=1).min() > 0.95


@pytest.mark.patterns
@SLOW
def test_seqlets_stand_on_the_planted_places_of_either_strand(found, example):
    file, codes, _, places = example
    genome = np.full(1000 * N_GENES, N, np.int8)
    for window, own in zip(file.windows.itertuples(), codes, strict=True):
        genome[window.start : window.end] = own if window.strand == "+" else reverse_complement(own)
    rows = {gene: row for row, gene in enumerate(file.genes)}
    for pattern in found:
        word = RAISES if pattern.sign == "+" else LOWERS
        offset = decode(word if as_planted(pattern) else reverse_complement(word)).index(pattern.consensus.upper())
        truth = places[places["sign"] == (1 if pattern.sign == "+" else -1)].set_index("gene")
        seen = set()
        for seqlet in pattern.seqlets.itertuples():
            at, turned = truth.loc[rows[seqlet.gene_id], ["at", "turned"]]
            against = turned == as_planted(pattern)
            first = at + (len(word) - offset - len(pattern) if against else offset)
            assert (seqlet.window_start, seqlet.window_end) == (first, first + len(pattern))
            assert seqlet.orientation == ("-" if against else "+")
            bases = genome[seqlet.start : seqlet.end]
            assert decode(bases if seqlet.strand == "+" else reverse_complement(bases)) == pattern.consensus.upper()
            strand = file.windows["strand"][rows[seqlet.gene_id]]
            assert (seqlet.strand == strand) == (seqlet.orientation == "+")
            seen.add((strand, seqlet.orientation))
        assert len(seen) == 4
        assert list(pattern.seqlets["gene_id"]) == sorted(pattern.seqlets["gene_id"], key=rows.get)


@pytest.mark.patterns
@SLOW
def test_contributions_are_means_over_the_seqlets(found, example):
    file, codes, hypothetical, _ = example
    rows = {gene: row for row, gene in enumerate(file.genes)}
    for pattern in found:
        total = np.zeros((len(pattern), 4))
        for seqlet in pattern.seqlets.itertuples():
            row, part = rows[seqlet.gene_id], slice(seqlet.window_start, seqlet.window_end)
            own = np.eye(4)[codes[row, part]] * hypothetical[row, part]
            assert seqlet.contribution == pytest.approx(own.sum(), rel=1e-5)
            total += own if seqlet.orientation == "+" else own[::-1, ::-1]
        np.testing.assert_allclose(pattern.contributions, total / len(pattern.seqlets), atol=1e-6)


@pytest.mark.patterns
@SLOW
def test_the_program_writes_the_same_again_and_names_the_planted_motifs(found, example, tmp_path):
    known = database(np.random.default_rng(1))
    write_meme(known, tmp_path / "known.meme")
    names = [tmp_path / "c" / name for name in files.FILES]
    outputs = zip(("meme", "patterns", "seqlets", "matches"), map(str, names), strict=True)
    words = ["--attributions", str(example[0].path), "--motifs", str(tmp_path / "known.meme"), "--matches", "3"]
    arguments = [*words, *(word for name, path in outputs for word in (f"--output-{name}", path))]
    discover_patterns.main(discover_patterns.parser().parse_args(arguments))
    assert sorted(tmp_path.rglob("*")) == sorted([tmp_path / "known.meme", tmp_path / "c", *names])
    for pattern, written in zip(found, read_meme(names[0]), strict=True):
        assert (written.id, written.name, written.n_sites) == (pattern.id, pattern.consensus, len(pattern.seqlets))
        np.testing.assert_allclose(written.probabilities, pattern.probabilities, atol=2e-6)
    seqlets = read_table(names[2], **NUMBERS)
    expected = pd.concat([pattern.seqlets for pattern in found], ignore_index=True)
    pd.testing.assert_frame_equal(seqlets, expected, rtol=1e-5, check_dtype=False)
    for pattern in files.read_patterns(tmp_path / "c", read_meme(tmp_path / "known.meme")):
        best = pattern.matches[0]
        assert best.motif.id == ("MRAISES" if pattern.sign == "+" else "MLOWERS")
        assert len(pattern.matches) == 3 and best.q_value < 1e-4 and best.overlap >= 8
        # The aligned motif has the same base as the pattern in every shared column.
        columns = np.arange(best.offset, best.offset + len(best.matrix))
        shared = (columns >= 0) & (columns < len(pattern.probabilities))
        assert shared.sum() == best.overlap
        mine = pattern.probabilities[columns[shared]].argmax(axis=1)
        np.testing.assert_array_equal(best.matrix[shared].argmax(axis=1), mine)


@pytest.mark.patterns
@SLOW
def test_a_copy_and_its_reverse_complement_match_where_they_lie():
    known = database(np.random.default_rng(1))
    target = next(motif for motif in known if len(motif) == 12)
    own, turned = target.probabilities, target.probabilities[::-1, ::-1]
    flat = np.full((3, 4), 0.25)
    cases = [
        (own, 0, 12, "+"), (turned, 0, 12, "-"), (own[2:], -2, 10, "+"), (turned[2:], -2, 10, "-"), (own[:-3], 0, 9, "+"),
        (np.vstack([flat, own]), 3, 12, "+"), (np.vstack([flat, turned]), 3, 12, "-"), (np.vstack([own, flat]), 0, 12, "+"),
    ]  # fmt: skip
    queries = [Motif(f"q{i}", "", matrix, 1) for i, (matrix, *_) in enumerate(cases)]
    matches = tomtom.match_motifs(queries, known, top=2)
    assert list(matches["rank"]) == [1, 2] * len(cases)
    best = matches[matches["rank"] == 1]
    assert list(best["pattern"]) == [query.id for query in queries]
    assert set(best["motif_id"]) == {target.id} and set(best["motif_name"]) == {target.name}
    assert list(zip(best["offset"], best["overlap"], best["strand"], strict=True)) == [case[1:] for case in cases]
    np.testing.assert_allclose(matches["e_value"], len(known) * matches["p_value"])
    assert (matches["q_value"] >= matches["p_value"]).all() and (matches["q_value"] <= 1).all()
    assert best["p_value"].max() < 1e-6 < matches.loc[matches["rank"] == 2, "p_value"].min()


def test_a_core_with_the_opposite_sign_is_not_a_pattern(example, monkeypatch):
    asked = {}

    def find(one_hot, hypothetical, **options):
        asked.update(options, shape=one_hot.shape)
        seqlets = [SimpleNamespace(example_idx=i, start=80, end=120, is_revcomp=False) for i in range(len(one_hot))]
        return [SimpleNamespace(seqlets=seqlets)], [
            SimpleNamespace(seqlets=seqlets[:40]),
            SimpleNamespace(seqlets=seqlets[:90]),
        ]

    monkeypatch.setattr(discover, "_load_modisco", lambda threads: SimpleNamespace(TFMoDISco=find))
    made = discover.discover_patterns(example[0], max_seqlets=100)
    assert [(pattern.id, pattern.sign, len(pattern.seqlets)) for pattern in made] == [
        ("negative_1", "-", 90),
        ("negative_2", "-", 40),
    ]
    assert asked["shape"] == (N_GENES, LENGTH, 4) and asked["max_seqlets_per_metacluster"] == 100
    assert asked["min_passing_windows_frac"] == pytest.approx(13 * 100 / (N_GENES * LENGTH))
    # If there are too many genes, a random subset is used, which depends on the seed.
    monkeypatch.setattr(discover, "MAX_BASES", 100 * LENGTH)
    draws = [{*discover.discover_patterns(example[0], seed=seed)[0].seqlets["gene_id"]} for seed in (0, 0, 1)]
    assert asked["shape"] == (100, LENGTH, 4) and draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize("width", [50, 91, 150, 400])
def test_windows_are_cut_around_the_tss(width, tmp_path):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 5, (7, 150)).astype(np.int8)
    hypothetical = rng.normal(size=(7, 150, 4)).astype(np.float32)
    tss = np.array([0, 10, 60, 75, 100, 149, -20])
    file = write_file(tmp_path / "c.h5", codes, hypothetical, "+", tss)
    rows = rng.permutation(7)[:5]
    width = min(width, 150)
    windows = discover._read_windows(file, rows, width)
    for i, row in enumerate(rows):
        first = min(max(tss[row] - width // 2, 0), 150 - width)
        assert windows.first[i] == first
        part = slice(first, first + width)
        np.testing.assert_array_equal(windows.hypothetical[i], hypothetical[row, part])
        np.testing.assert_array_equal(windows.one_hot[i], np.eye(5)[codes[row, part]][:, :4])


def found_by_hand():
    rng = np.random.default_rng(2)
    made = []
    for name, sign, width in (("positive_1", 1, 7), ("negative_1", -1, 6)):
        columns = {column: [1, 2, 3] for column in discover.SEQLET_COLUMNS} | {"pattern": name, "gene_id": ["a", "b", "b"]}
        contributions = sign * rng.random((width, 4))
        made.append(discover.Pattern(name, rng.dirichlet(np.ones(4), width), contributions, pd.DataFrame(columns)))
    columns = {"pattern": "positive_1", "rank": [1, 2], "motif_id": ["M3", "M1"], "motif_name": ["m3", "m1"]}
    columns |= {"p_value": [1e-5, 0.1], "e_value": [1e-4, 1], "q_value": [1e-3, 0.5], "overlap": [5, 4], "offset": [-2, 3]}
    return made, pd.DataFrame(columns | {"strand": ["-", "+"]})


def test_written_files_round_trip(tmp_path):
    made, matches = found_by_hand()
    known = database(np.random.default_rng(1))
    files.write_patterns(made, matches, [tmp_path / name for name in files.FILES])
    table = read_table(tmp_path / "patterns.tsv", information="float")
    assert list(table.columns) == list(files.PATTERN_COLUMNS)
    assert list(table["motif_id"]) == ["M3", ""]
    np.testing.assert_allclose(table["information"], [pattern.motif.information.sum() for pattern in made], rtol=1e-6)
    first, second = files.read_patterns(tmp_path, known)
    assert (first.id, first.sign, first.n_seqlets, first.n_genes) == ("positive_1", "+", 3, 2)
    assert (second.sign, second.consensus, second.matches) == ("-", made[1].consensus, ())
    for pattern, read in zip(made, (first, second), strict=True):
        np.testing.assert_allclose(read.contributions, pattern.contributions, rtol=1e-4)
        np.testing.assert_allclose(read.probabilities, pattern.probabilities, atol=2e-6)
        assert read.mean_contribution == pytest.approx(pattern.contributions.sum(), rel=1e-6)
    best, other = first.matches
    assert (best.motif.id, best.offset, best.overlap, best.strand) == ("M3", -2, 5, "-")
    np.testing.assert_array_equal(best.matrix, known[3].probabilities[::-1, ::-1])
    np.testing.assert_array_equal(other.matrix, known[1].probabilities)
    with pytest.raises(InputError, match="motifs that the database lacks"):
        files.read_patterns(tmp_path, known[:3])
    write_meme([made[1].motif], tmp_path / "patterns.meme")
    with pytest.raises(InputError, match="disagree on positive_1"):
        files.read_patterns(tmp_path, known)


def test_without_patterns_the_tables_have_headers_only(tmp_path):
    nothing = tomtom.match_motifs([], database(np.random.default_rng(1)))
    files.write_patterns([], nothing, [tmp_path / name for name in files.FILES])
    headers = [(tmp_path / name).read_text() for name in files.FILES[1:]]
    columns = (files.PATTERN_COLUMNS, discover.SEQLET_COLUMNS, tomtom.MATCH_COLUMNS)
    assert headers == ["\t".join(names) + "\n" for names in columns]
    assert "MOTIF" not in (tmp_path / "patterns.meme").read_text()
    assert files.read_patterns(tmp_path, []) == []


@pytest.mark.patterns
@pytest.mark.parametrize("n", [0, 1, 5])
@pytest.mark.parametrize("kind", ["zero", "noise", "positive", "sparse"])
def test_too_little_gives_no_pattern(n, kind, tmp_path):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (n, 60)).astype(np.int8)
    values = {"zero": 0.0, "noise": 1.0, "positive": 1.0, "sparse": 0.0}[kind] * rng.normal(size=(n, 60, 4)).astype(np.float32)
    if kind == "positive":
        values = np.abs(values)
    if kind == "sparse" and n:
        values[0, 5], values[-1, 50] = 1, -1
    file = write_file(tmp_path / "c.h5", codes, values.astype(np.float32), "+", 30)
    assert discover.discover_patterns(file) == []


def test_missing_input_is_reported(tmp_path, monkeypatch):
    codes = np.zeros((2, 60), np.int8)
    values = np.zeros((2, 60, 4), np.float32)
    monkeypatch.setattr(discover, "_load_modisco", lambda threads: None)
    with pytest.raises(InputError, match=r"attribution.hypothetical: true"):
        discover.discover_patterns(write_file(tmp_path / "without.h5", codes, values, "+", 0, keep=False))
    short = write_file(tmp_path / "short.h5", codes[:, :40], values[:, :40], "+", 0)
    with pytest.raises(InputError, match="40 bases per window are too few"):
        discover.discover_patterns(short)
    monkeypatch.undo()
    monkeypatch.setitem(__import__("sys").modules, "modiscolite", None)
    with pytest.raises(InputError, match="`make patterns`"):
        discover.discover_patterns(short)
