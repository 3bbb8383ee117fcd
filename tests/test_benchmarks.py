"""The benchmarks without timing: arguments, tables, the page, the connection to a peer, and the shared network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))

import attribution  # noqa: E402
import environments  # noqa: E402
import measurement  # noqa: E402
import motifs as motif_benchmark  # noqa: E402
import report  # noqa: E402
import training  # noqa: E402
import variants as variant_benchmark  # noqa: E402
from peers import architecture, loop_variants  # noqa: E402

ECHO = """
from peers.worker import connect, serve
line = connect()
print("noise on standard output")
line.answer({"parameters": line.settings["parameters"], "predictions": line.settings["predictions"]})
serve(line, {"double": lambda: print("more noise") or 64, "fail": lambda: 1 / 0})
"""


@pytest.fixture
def echo(tmp_path, monkeypatch):
    """A peer that echoes its settings and needs no environment."""
    (tmp_path / "peers").mkdir()
    (tmp_path / "peers/worker.py").write_text((BENCHMARKS / "peers/worker.py").read_text())
    (tmp_path / "peers/echo.py").write_text(ECHO)
    monkeypatch.setattr(measurement, "HERE", tmp_path)
    return measurement.Peer(Path(sys.executable), "echo")


@pytest.mark.parametrize("module", [training, attribution])
def test_arguments_have_the_defaults_that_the_page_describes(module) -> None:
    arguments = module.parser().parse_args(["--basenji", "somewhere"])
    assert (arguments.basenji, arguments.runs, arguments.threads) == (Path("somewhere"), 5, 2)
    assert arguments.batch_size == {training: 32, attribution: 8}[module]
    assert arguments.output == report.ROOT / "docs/performance.md"
    with pytest.raises(SystemExit):
        module.parser().parse_args([])


@pytest.mark.parametrize("name", ["training", "attribution"])
def test_help_works_without_any_peer(name: str) -> None:
    shown = subprocess.run([sys.executable, BENCHMARKS / f"{name}.py", "--help"], capture_output=True, text=True, check=True)
    assert "--basenji" in shown.stdout and "tensorflow" not in shown.stderr


def test_ratios_are_per_run_and_above_one_if_cisnake_is_faster() -> None:
    speeds = {"Cisnake": np.array([10.0, 40.0, 20.0]), "Other": np.array([5.0, 10.0, 20.0])}
    table = report.ratio_table(speeds, "Cisnake", "examples/s").splitlines()
    assert table[0].startswith("| | examples/s")
    assert table[2] == "| Cisnake | 20 (10–40) |  |"
    assert table[3] == "| Other | 10 (5–20) | 2 (1–4) |"


def test_method_table_compares_each_method_with_its_loop_and_with_captum() -> None:
    speeds = {block: np.array([2.0, 2.0]) for block in attribution.blocks()}
    speeds["Cisnake", "saliency"] = np.array([6.0, 8.0])
    speeds["Cisnake", "saliency loop"] = np.array([1.0, 2.0])
    rows = {line.split("|")[1].strip(): line for line in attribution.method_table(speeds).splitlines()[2:]}
    assert list(rows) == [f"`{method}`" for method in attribution.METHODS]
    assert "| 5 (4–6) |" in rows["`saliency`"] and "| 3.5 (3–4) |" in rows["`saliency`"]
    assert rows["`in_silico_mutagenesis`"].endswith("|  |  |")


def test_a_section_replaces_only_itself(tmp_path: Path) -> None:
    page = tmp_path / "docs" / "performance.md"
    report.write_section(page, "training", "first \\1")
    report.write_section(page, "attribution", "other")
    before = page.read_text()
    report.write_section(page, "training", "second \\1")
    after = page.read_text()
    assert after == before.replace("first", "second")
    assert after.startswith("# Performance") and after.count("begin -->") == 2 and "\\1" in after


def test_rounds_alternate_between_peers_and_skip_the_first(echo) -> None:
    settings = {"parameters": {"trainable": 3}, "predictions": [1.0, 2.0]}
    with measurement.running({"a": echo, "b": echo}, settings, threads=1) as workers:
        assert measurement.check_parameters(workers) == {"trainable": 3}
        assert measurement.check_equal(workers, "predictions", 1e-6) == 0
        speeds = measurement.measure(workers, [("a", "double"), ("b", "double")], runs=2)
    assert set(speeds) == {("a", "double"), ("b", "double")}
    assert all(values.shape == (2,) and (values > 0).all() for values in speeds.values())
    assert all(worker.process.poll() is not None for worker in workers.values())


def test_a_failing_peer_is_named_with_its_output(echo) -> None:
    settings = {"parameters": {}, "predictions": []}
    with (
        pytest.raises(SystemExit, match=r"(?s)peers\.echo.*ZeroDivisionError"),
        measurement.running({"a": echo}, settings, threads=1) as workers,
    ):
        measurement.ask(workers["a"], "fail")


def _worker(tmp_path: Path, **ready) -> measurement.Worker:
    return measurement.Worker("none", None, tmp_path, ready)  # type: ignore[arg-type]


def test_peers_that_differ_are_not_compared(tmp_path: Path) -> None:
    pair = {
        "a": _worker(tmp_path, parameters=3, predictions=[1.0, 2.0]),
        "b": _worker(tmp_path, parameters=4, predictions=[1.0, 2.1]),
    }
    with pytest.raises(SystemExit, match="parameters differ"):
        measurement.check_parameters(pair)
    with pytest.raises(SystemExit, match=r"predictions of b differ by 0\.045"):
        measurement.check_equal(pair, "predictions", 1e-3)
    assert measurement.check_equal(pair, "predictions", 0.1) == pytest.approx(0.1 / 5**0.5)
    pair["b"] = _worker(tmp_path, predictions=[1.0])
    with pytest.raises(SystemExit, match="predictions of b differ by inf"):
        measurement.check_equal(pair, "predictions", 0.1)
    pair["b"] = _worker(tmp_path, predictions=[1.0, float("nan")])
    with pytest.raises(SystemExit, match="predictions of b"):
        measurement.check_equal(pair, "predictions", 0.1)


def test_environments_with_the_pinned_packages_are_unchanged(tmp_path: Path, monkeypatch) -> None:
    python = tmp_path / "some" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(environments.shutil, "which", lambda *_, **__: None)
    monkeypatch.setitem(environments.REQUIREMENTS, "some", [[f"numpy=={np.__version__}"]])
    assert environments.python_of("some", tmp_path) == python
    monkeypatch.setitem(environments.REQUIREMENTS, "some", [[f"numpy=={np.__version__}"], ["numpy==0.1"]])
    with pytest.raises(SystemExit, match="uv is not found"):
        environments.python_of("some", tmp_path)


def test_our_network_is_the_common_one() -> None:
    from peers.cisnake_network import build_network
    from peers.keras_weights import parameter_counts

    model = build_network()
    filters = [64, *architecture.tower_filters()]
    widths = [64, *filters[1:]] + [64, filters[-1]] * 4
    assert parameter_counts(model) == {"trainable": architecture.TRAINABLE_PARAMETERS, "other": 2 * sum(widths)}
    assert model.output_shape == (None, architecture.TASKS)


def test_predictions_follow_the_definition_of_the_network() -> None:
    """Compare with the network in float64 NumPy, layer by layer and with the same weights."""
    from peers.cisnake_network import build_network

    rng = np.random.default_rng(1)
    x = architecture.one_hot(architecture.probe()[:1])[0].astype(np.float64)

    def convolve(x, filters, width, dilation=1):
        (kernel,) = architecture.layer_weights([(width, x.shape[1], filters)], rng)
        reach = dilation * (width - 1)
        padded = np.pad(x, ((reach // 2, reach - reach // 2), (0, 0)))
        return sum(padded[i * dilation : i * dilation + len(x)] @ kernel[i].astype(np.float64) for i in range(width))

    def normalize(x):
        scale, offset, mean, variance = architecture.layer_weights([(x.shape[1],)] * 4, rng)
        return (x - mean) / np.sqrt(variance + 1e-3) * scale + offset

    def pool(x, size):
        return x.reshape(-1, size, x.shape[1]).max(axis=1)

    def relu(x):
        return np.maximum(x, 0)

    x = pool(relu(normalize(convolve(x, 64, 15))), 2)
    for filters in architecture.tower_filters():
        x = pool(normalize(convolve(relu(x), filters, 5)), 2)
    for dilation in (1, 2, 4, 8):
        y = normalize(convolve(relu(x), 64, 3, dilation))
        x = x + normalize(convolve(relu(y), x.shape[1], 1))
    kernel, bias = architecture.layer_weights([(x.shape[1], architecture.TASKS), (architecture.TASKS,)], rng)
    expected = np.logaddexp(0, relu(x).mean(axis=0) @ kernel + bias)
    found = build_network()(architecture.one_hot(architecture.probe()[:1]), training=False)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_loops_give_what_our_methods_give() -> None:
    """A comparison with loops is fair only if they compute the same; checked on a small network."""
    import keras
    from peers.cisnake_attribution import loops, our_methods

    keras.utils.set_random_seed(0)
    inputs = keras.Input((24, 4))
    y = keras.layers.Conv1D(5, 5, padding="same", activation="softplus")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(architecture.TASKS)(keras.layers.GlobalAveragePooling1D()(y)))
    x = architecture.one_hot(np.random.default_rng(0).integers(0, 4, (2, 24)))
    ours, theirs = our_methods(model, x, 8), loops(model, x, 8)
    assert set(ours) == set(theirs) == set(attribution.METHODS)
    for name in ("gradient", "input_x_gradient", "saliency", "integrated_gradients"):
        np.testing.assert_allclose(ours[name]().swapaxes(-1, -2), theirs[name](), rtol=1e-3, atol=1e-6, err_msg=name)
    of_bases = ours["in_silico_mutagenesis"]()[:, 0].sum(axis=1).T
    np.testing.assert_allclose(of_bases, theirs["in_silico_mutagenesis"](), rtol=1e-3, atol=1e-6)


def test_settings_reach_a_peer_as_json(echo, tmp_path: Path) -> None:
    settings = {"parameters": {"names": ["ä", 'b"']}, "predictions": []}
    with measurement.running({"a": echo}, settings, threads=1) as workers:
        assert workers["a"].ready == json.loads(json.dumps(settings))


def test_the_true_p_of_a_threshold_is_the_fraction_of_words_that_reach_it() -> None:
    rng = np.random.default_rng(0)
    background = np.array([0.3, 0.2, 0.2, 0.3])
    for width in (1, 4, 5):
        scores = rng.normal(size=(width, 4)).round(1)
        words = np.stack(np.meshgrid(*[range(4)] * width, indexing="ij"), axis=-1).reshape(-1, width)
        total, chance = scores[np.arange(width), words].sum(axis=1), background[words].prod(axis=1)
        for cut in np.quantile(total.round(1), [0, 0.3, 0.9, 1]).round(1):
            expected = chance[total > cut - 1e-6].sum()
            assert motif_benchmark.true_p(scores, background, cut, False) == pytest.approx(expected)
            expected = chance[total > cut + 1e-6].sum()
            assert motif_benchmark.true_p(scores, background, cut + 1e-6, True) == pytest.approx(expected)
    assert motif_benchmark.parser().parse_args([]).windows == 5000


@pytest.mark.parametrize("kind", ["snv", "insertion", "deletion"])
def test_drawn_variants_are_normalised(kind: str) -> None:
    rng = np.random.default_rng(0)
    bases = "".join(rng.choice(list("ACGT"), 500))
    drawn = [variant_benchmark.draw_alleles(bases, pos, kind, rng) for pos in range(1, 480)]
    for pos, (ref, alt) in enumerate(drawn, start=1):
        assert bases[pos - 1 :].startswith(ref) and ref != alt and min(len(ref), len(alt)) == 1
        assert ref[-1] != alt[-1], "an allele that ends like the other one could be placed further left"
        assert len(ref) == len(alt) or ref[0] == alt[0]
    longer = {"snv": [len(ref) == len(alt) for ref, alt in drawn], "insertion": [len(alt) > len(ref) for ref, alt in drawn]}
    longer["deletion"] = [len(ref) > len(alt) for ref, alt in drawn]
    assert np.mean(longer[kind]) > 0.9
    assert max(max(len(ref), len(alt)) for ref, alt in drawn) == (1 if kind == "snv" else variant_benchmark.LONGEST_INDEL)


@pytest.mark.parametrize(("start", "ref", "alt"), [(0, "A", "C"), (50, "G", "GTTT"), (51, "TAC", "T"), (99, "T", "TA")])
def test_the_loop_has_the_same_windows_as_ours(start: int, ref: str, alt: str, tmp_path: Path) -> None:
    from cisnake.data.genome import Genome, decode
    from cisnake.variants import centered_windows

    bases = "".join(np.random.default_rng(1).choice(list("ACGT"), 100))
    bases = (bases[:start] + ref + bases[start + len(ref) :])[:100]
    (tmp_path / "genome.fa").write_text(f">c\n{bases[:60]}\n{bases[60:]}\n")
    assert loop_variants.read_fasta(tmp_path / "genome.fa") == {"c": bases}
    ours = centered_windows(Genome(tmp_path / "genome.fa"), "c", start, ref, alt, 20)[0]
    theirs = loop_variants.windows(bases, start, ref, alt, 20)
    assert tuple(map(decode, ours)) == theirs
    codes = loop_variants.one_hot(theirs)
    np.testing.assert_array_equal(codes.argmax(axis=-1)[codes.any(axis=-1)], ours[ours < 4])


def test_differences_from_hound_snp_are_found(tmp_path: Path) -> None:
    """Values that differ by what float16 rounds off agree; those that differ by twice as much do not."""
    rng = np.random.default_rng(0)
    n, tasks, positions = 6, architecture.TASKS, 4
    exact = {name: rng.normal(size=(n, tasks)) for name in variant_benchmark.STATISTICS}
    along = {name: rng.random((n, 1, positions, tasks)) for name in ("REF", "ALT")}
    exact |= {name: values.sum(axis=(1, 2)) for name, values in along.items()}
    described = pd.DataFrame(
        {"variant_id": [f"v{i}" for i in range(n)], "ref": "A", "alt": "C", "status": ["ok"] * 5 + ["flipped"]}
    )
    table = described.loc[described.index.repeat(tasks)].assign(**{name: values.ravel() for name, values in exact.items()})
    (tmp_path / "hound").mkdir()
    with h5py.File(tmp_path / "hound/scores.h5", "w") as file:
        for name, values in (exact | along).items():
            file[name] = values.astype(np.float16)
    table.to_csv(tmp_path / "loop.tsv", sep="\t", index=False)
    table.to_csv(tmp_path / "ours.tsv", sep="\t", index=False)
    worst = variant_benchmark.compare(tmp_path)
    assert set(worst) == set(variant_benchmark.STATISTICS) and all(0 < value <= 1 for value in worst.values())
    table.assign(D2=table["D2"] * (1 + 2**-9)).to_csv(tmp_path / "ours.tsv", sep="\t", index=False)
    with pytest.raises(SystemExit, match=r"differ from hound_snp by more than rounding: D2 by \d"):
        variant_benchmark.compare(tmp_path)
    table.to_csv(tmp_path / "ours.tsv", sep="\t", index=False)
    table.assign(SUM=table["SUM"] + 0.01).to_csv(tmp_path / "loop.tsv", sep="\t", index=False)
    with pytest.raises(SystemExit, match=r"SUM of the loop differs by 0\.01"):
        variant_benchmark.compare(tmp_path)


def test_variants_per_second_and_memory_are_tabulated() -> None:
    used = {variant_benchmark.OURS: [(10, 15, 4e8), (20, 30, 5e8)], variant_benchmark.LOOP: [(40, 50, 9e8), (40, 50, 8e8)]}
    usages = {name: [variant_benchmark.Usage(*row) for row in rows] for name, rows in used.items()}
    rows = variant_benchmark.table_of(usages, 1000).splitlines()
    assert rows[2] == "| Cisnake `score_vcf.py` | 75 (50–100) |  | 22.5 (15–30) | 500 |"
    assert rows[3] == "| plain loop in Keras | 25 (25–25) | 3 (2–4) | 50 (50–50) | 900 |"
    arguments = variant_benchmark.parser().parse_args(["--baskerville", "somewhere"])
    assert (arguments.variants, arguments.runs, arguments.check) == (10_000, 3, False)
