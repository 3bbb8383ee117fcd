"""The benchmarks without timing: arguments, tables, the page, the connection to a peer, and the shared network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))

import attribution  # noqa: E402
import environments  # noqa: E402
import measurement  # noqa: E402
import motifs as motif_benchmark  # noqa: E402
import report  # noqa: E402
import training  # noqa: E402
from peers import architecture  # noqa: E402

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
