"""An installed library works without a checkout, and programs of a checkout do not import it."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

COMPLETE_AND_RENDER = """
import sys
from pathlib import Path
import cisnake
from cisnake import configuration
from cisnake.model import read_params
from cisnake.report.page import write_report

config = configuration.complete({
    "run": {"name": "mine"}, "genome": {"fasta": "genome.fa"}, "annotation": {"gtf": "genes.gtf"},
    "targets": {"matrix": "matrix.tsv"}, "splits": {"val": ["chr2"], "test": ["chr3"]},
    "model": {"params": "config/models/small.yaml"}, "attribution": {"contrasts": {"heat": {"on_tasks": ["heat"]}}},
})
assert config["peaks"]["method"] and read_params(config["model"]["params"])["model"]["trunk"]
Path("report.html").write_text(write_report(Path(sys.argv[1]), Path(sys.argv[2]), "mine", config), encoding="utf-8")
print(cisnake.__file__, config["model"]["params"], sep="\\n")
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment with the wheel, which finds the dependencies in the current environment."""
    folder = tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], check=True)
    packages = next((folder / "env").glob("lib/python*/site-packages"))
    with zipfile.ZipFile(next(folder.glob("cisnake-*.whl"))) as wheel:
        wheel.extractall(packages)
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder / "env" / "bin" / "python"


@pytest.mark.slow
def test_an_installed_copy_completes_a_configuration_and_renders_a_report(
    installed: Path, make_results: Callable[..., Path], tmp_path: Path
) -> None:
    results, elsewhere = make_results(tmp_path / "run", n_genes=24, splits=("test",)), tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [str(installed), "-c", COMPLETE_AND_RENDER, str(results), str(results / "inputs" / "motifs.meme")]
    done = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    library, params = map(Path, done.stdout.split())
    assert library.is_relative_to(installed.parents[1]) and params.is_relative_to(library.parent)
    assert "</html>" in (elsewhere / "report.html").read_text(encoding="utf-8")


def test_programs_of_a_checkout_import_the_library_beside_them(installed: Path, tmp_path: Path) -> None:
    script = tmp_path / "show.py"
    script.write_text("import cisnake; print(cisnake.__file__)")
    copy = tmp_path / "scripts"
    copy.mkdir()
    (copy / "cisnake").symlink_to(ROOT / "scripts" / "cisnake")
    (copy / "show.py").write_text(script.read_text())
    outside, beside = (
        subprocess.run([str(installed), str(path)], cwd="/", capture_output=True, text=True, check=True).stdout.strip()
        for path in (script, copy / "show.py")
    )
    assert Path(outside).is_relative_to(installed.parents[1]) and Path(beside).is_relative_to(copy)
