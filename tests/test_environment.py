"""Pins, lock files, conda environments, profiles, and commands in the documentation."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import check_readme
import write_envs

from .import_graph import imports, module_file

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "scripts"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = ["3.11", "3.12", "3.13"]


# Documentation


def cisnake_imports() -> list[tuple[str, str, str]]:
    """Return page, module and name of each import from the library in Python examples of the documentation."""
    found = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL):
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "cisnake":
                    found += [(page.name, str(node.module), alias.name) for alias in node.names]
                elif isinstance(node, ast.Import):
                    found += [(page.name, alias.name, "") for alias in node.names if alias.name.split(".")[0] == "cisnake"]
    return found


def test_imports_in_the_documentation_exist() -> None:
    found = cisnake_imports()
    assert len(found) > 5
    for page, module, name in found:
        there = importlib.import_module(module)
        is_module = importlib.util.find_spec(f"{module}.{name}") if name and hasattr(there, "__path__") else None
        assert not name or is_module or name in dir(there), f"{page}: {module} has no {name}"


# Locks


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").glob("*.lock")), ids=lambda path: path.name)
def test_a_lock_names_no_index_and_hashes_every_package(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"://|--(extra-)?index|--find-links|--trusted-host| @ ", text)
    for entry in re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in entry, entry.splitlines()[0]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_lock_satisfies_the_requirements_of_the_project(device: str, python: str) -> None:
    pins = write_envs.at_python(write_envs.read_lock((ROOT / "requirements" / f"{device}.lock").read_text()), python)
    extras = PROJECT["optional-dependencies"]
    for line in [*PROJECT["dependencies"], *extras[device], *extras["slurm"], *extras["test"]]:
        wanted = Requirement(line)
        if wanted.marker and not wanted.marker.evaluate({"sys_platform": "linux", "platform_machine": "x86_64"}):
            continue
        pin = pins.get(canonicalize_name(wanted.name))
        assert pin is not None, f"{line} is not in {device}.lock: run make lock"
        assert wanted.specifier.contains(pin.version, prereleases=True), f"{line}, but {device}.lock has {pin.version}"


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("extra", ["patterns", "browser"])
def test_the_lock_of_an_extra_adds_to_the_others_and_changes_none(extra: str, python: str) -> None:
    locks = {path.stem: path.read_text() for path in (ROOT / "requirements").glob("*.lock")}
    pins = {name: write_envs.at_python(write_envs.read_lock(text), python) for name, text in locks.items()}
    for line in PROJECT["optional-dependencies"][extra]:
        wanted = Requirement(line)
        assert wanted.specifier.contains(pins[extra][canonicalize_name(wanted.name)].version), f"{line}: run make lock"
    # Both fill the folder `modiscolite`.
    assert "modisco" not in pins[extra]
    for device in ("cpu", "cuda"):
        shared = pins[extra].keys() & pins[device].keys()
        assert {name: pins[extra][name].version for name in shared} == {name: pins[device][name].version for name in shared}
        # Packages under the GPL and half a gigabyte of downloads are optional.
        assert not {"igraph", "leidenalg", "modisco-lite", "playwright"} & pins[device].keys()


def test_the_pythons_that_setup_accepts_are_those_of_the_project() -> None:
    accepted = re.search(r"supported\(\) \{ case \$1 in ([\d. |]+)\)", (ROOT / "tools" / "setup.sh").read_text())
    assert accepted is not None
    assert accepted[1].replace("|", " ").split() == PYTHONS
    wanted = SpecifierSet(PROJECT["requires-python"])
    assert [v for v in (f"3.{minor}" for minor in range(8, 20)) if wanted.contains(v)] == PYTHONS


def test_the_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    library = re.search(r'__version__ = "(.*)"', (SCRIPTS / "cisnake" / "__init__.py").read_text())
    newest = re.search(r"^## \[(\d.*?)\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert library is not None and newest is not None
    assert {citation["version"], library[1], newest[1]} == {PROJECT["version"]}


# Conda environments


def pinned(env: str) -> dict[str, str]:
    """Return the pip pins of an environment file, by canonical name."""
    content = yaml.safe_load((ROOT / "envs" / f"{env}.yaml").read_text())
    pins = [Requirement(line) for line in content["dependencies"][-1]["pip"]]
    return {canonicalize_name(pin.name): str(pin.specifier) for pin in pins}


def test_environment_files_match_the_locks() -> None:
    on_disk = {path.stem: path.read_text() for path in (ROOT / "envs").glob("*.yaml")}
    assert on_disk == write_envs.environments(), "run make envs"


@pytest.mark.parametrize("env", sorted(write_envs.ENVS))
def test_an_environment_is_pinned_and_complete(env: str) -> None:
    content = yaml.safe_load((ROOT / "envs" / f"{env}.yaml").read_text())
    assert content["channels"] == ["conda-forge", "nodefaults"]
    pins = pinned(env)
    assert all(re.fullmatch(r"==[\w.+!]+", version) for version in pins.values())
    lock = write_envs.pins_of(write_envs.LOCKS[env])
    assert all(version == f"=={lock[name].version}" for name, version in pins.items())
    assert all(pin.name in pins for pin in lock.values() if pin.needed_by & set(pins))


LOCK = """\
# a comment
alpha==1.0 ; python_full_version < '3.12' \\
    --hash=sha256:00
    # via cisnake (pyproject.toml)
alpha==2.0 ; python_full_version >= '3.12' \\
    --hash=sha256:01 \\
    --hash=sha256:02
    # via
    #   cisnake (pyproject.toml)
    #   Beta_x
beta-x==0.1 \\
    --hash=sha256:03
    # via cisnake (pyproject.toml)
gamma==3.0 \\
    --hash=sha256:04
    # via alpha
"""


def test_a_lock_is_read_per_python_with_dependencies() -> None:
    pins = write_envs.read_lock(LOCK)
    assert [(pin.name, pin.version) for pin in pins] == [
        ("alpha", "1.0"),
        ("alpha", "2.0"),
        ("beta-x", "0.1"),
        ("gamma", "3.0"),
    ]
    assert write_envs.at_python(pins, "3.11")["alpha"].version == "1.0"
    newer = write_envs.at_python(pins, "3.13")
    assert newer["alpha"].version == "2.0"
    assert newer["alpha"].needed_by == {"cisnake", "beta-x"}
    assert write_envs.closure(["beta-x"], newer) == {"beta-x", "alpha", "gamma"}
    assert write_envs.closure(["alpha"], newer) == {"alpha", "gamma"}


# Imports of the scripts, including those through the library


def third_party(path: Path) -> dict[str, Path]:
    """Return the external top-level modules that a file imports, directly or indirectly, each with the importing file."""
    seen: set[Path] = set()
    found: dict[str, Path] = {}
    todo = [path]
    while todo:
        file = todo.pop()
        if file in seen:
            continue
        seen.add(file)
        for name in imports(file, SCRIPTS):
            top = name.partition(".")[0]
            if module_file(top, SCRIPTS) is None:
                if top not in sys.stdlib_module_names:
                    found.setdefault(top, file)
                continue
            # Importing a.b.c runs a, a.b and a.b.c; the last part may also be a function of a.b.
            parts = name.split(".")
            files = [module_file(".".join(parts[:i]), SCRIPTS) for i in range(1, len(parts) + 1)]
            todo += [f for f in files if f is not None]
    return found


@cache
def distributions(module: str) -> frozenset[str]:
    """Return the packages that may provide a module, by canonical name; the CPU build counts as tensorflow."""
    names = {canonicalize_name(name) for name in packages_distributions().get(module, [module])}
    return frozenset(names | {"tensorflow"} if "tensorflow-cpu" in names else names)


def rules() -> list[tuple[str, Path, str | None, list[str]]]:
    """Return every rule as (name, file, conda file as written or None, stems of its scripts)."""
    found = []
    for path in [ROOT / "Snakefile", *sorted((ROOT / "workflow" / "rules").glob("*.smk"))]:
        if not path.exists():
            continue
        blocks = re.split(r"^ *(?:rule|checkpoint) +(\w+) *:", path.read_text(), flags=re.MULTILINE)
        for name, block in zip(blocks[1::2], blocks[2::2], strict=True):
            # A block ends at the next line without indentation, such as a function or an include.
            body = re.split(r"^(?=[^\s#])", block, flags=re.MULTILINE)[0]
            conda = re.search(r"\bconda:\s*[\"']([^\"']+)[\"']", body)
            named = re.findall(r"\b(\w+)\.py\b", body)
            scripts = [stem for stem in dict.fromkeys(named) if (SCRIPTS / f"{stem}.py").exists()]
            if not scripts and (SCRIPTS / f"{name}.py").exists():
                scripts = [name]
            found.append((name, path, conda[1] if conda else None, scripts))
    return found


CONDA_RULES = [rule for rule in rules() if rule[2] is not None]


def test_every_rule_that_runs_a_script_has_an_environment() -> None:
    assert [name for name, _, conda, scripts in rules() if scripts and conda is None] == []


@pytest.mark.parametrize(("name", "path", "conda", "scripts"), CONDA_RULES, ids=[rule[0] for rule in CONDA_RULES])
def test_the_environment_of_a_rule_provides_the_imports_of_its_script(
    name: str, path: Path, conda: str, scripts: list[str]
) -> None:
    file = (path.parent / conda).resolve()
    assert file.exists(), f"rule {name}: {conda} does not exist"
    assert file.parent == ROOT / "envs"
    assert scripts, f"rule {name} has an environment but names no script of scripts/"
    provided = set(pinned(file.stem))
    for script in scripts:
        for module, importer in third_party(SCRIPTS / f"{script}.py").items():
            assert distributions(module) & provided, (
                f"rule {name}: {importer.relative_to(ROOT)} imports {module}, which {file.name} does not provide "
                "(add it in tools/write_envs.py, or give the rule another environment)"
            )


def test_imports_are_followed_through_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "SCRIPTS", tmp_path)
    (tmp_path / "lib" / "sub").mkdir(parents=True)
    (tmp_path / "lib" / "__init__.py").write_text("")
    (tmp_path / "lib" / "sub" / "__init__.py").write_text("import inpackage")
    (tmp_path / "lib" / "sub" / "a.py").write_text("from ..b import f\ndef g():\n    import lazy.part")
    (tmp_path / "lib" / "b.py").write_text(
        "try:\n    import optional\nexcept ImportError:\n    optional = None\nimport far, json"
    )
    (tmp_path / "lib" / "face").mkdir()
    (tmp_path / "lib" / "face" / "__init__.py").write_text("import lazy_loader")
    (tmp_path / "lib" / "face" / "__init__.pyi").write_text("from .behind import f as f\nfrom .aside import g as g")
    (tmp_path / "lib" / "face" / "behind.py").write_text("import handed_on")
    (tmp_path / "lib" / "face" / "aside.py").write_text("import never")
    (tmp_path / "run.py").write_text("from lib.sub import a\nfrom lib.face import f\nif TYPE_CHECKING:\n    import typed")
    assert set(third_party(tmp_path / "run.py")) == {"inpackage", "lazy", "far", "lazy_loader", "handed_on"}


# Profiles


@pytest.mark.parametrize("name", ["default", "gpu", "slurm"])
def test_a_profile_is_read_by_snakemake(name: str, tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(
        "rule all:\n    output: 'done.txt'\n    resources: gpu=1\n    shell: 'touch {output}'\n"
    )
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--dry-run",
        "--cores",
        "1",
        "--workflow-profile",
        str(ROOT / "profiles" / name),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Job stats" in done.stdout and "touch done.txt" not in done.stdout, "profiles are quiet about rules"
    command += ["--quiet", "host"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert "touch done.txt" in done.stdout + done.stderr, "printshellcmds is on in every profile"


def test_profiles_have_no_account_and_rules_no_retries() -> None:
    profiles = {path: yaml.safe_load(path.read_text()) for path in (ROOT / "profiles").glob("*/*.yaml")}
    assert len(profiles) == 3
    for content in profiles.values():
        assert content["rerun-incomplete"] is True
        assert "slurm_account" not in content.get("default-resources", {})
    # Retries of a rule run inside one SLURM job, with the same insufficient memory.
    for path in [*ROOT.glob("Snakefile"), *(ROOT / "workflow" / "rules").glob("*.smk")]:
        assert not re.search(r"^\s*retries\s*:", path.read_text(), flags=re.MULTILINE), path.name


# Documentation, Makefile, small tools


def test_commands_and_files_in_documents_exist() -> None:
    docs = [str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("**/*.md")]
    documents = check_readme.read_documents(["README.md", "CONTRIBUTING.md", "config/README.md", *docs])
    assert check_readme.problems(documents, (ROOT / "Makefile").read_text()) == []


def test_invalid_commands_in_documents_are_found(tmp_path: Path) -> None:
    makefile = "demo: setup ## run it\nlint: ## check\nhidden:\n"
    text = "We make sense.\n```\nmake demo   # make nothing of it\nsnakemake --configfile config/mine.yaml\n```\n`make lint`"
    assert check_readme.problems({"README.md": text}, makefile, tmp_path) == []
    wrong = (
        text.replace("`make lint`", "`make hidden`") + " and `scripts/none.py`, but not results in `results/demo/report.html`"
    )
    assert check_readme.problems({"README.md": wrong}, makefile, tmp_path) == [
        "README.md: `make hidden` is not a target of the Makefile",
        "README.md: scripts/none.py does not exist",
        "README.md, CONTRIBUTING.md: neither documents `make lint`",
    ]


def test_make_alone_lists_the_targets() -> None:
    done = subprocess.run(["make", "DEVICE=cpu"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for target in check_readme.targets((ROOT / "Makefile").read_text()):
        assert re.search(rf"^  make {target} +\S", done.stdout, flags=re.MULTILINE), target


# Setting up


def setup(folder: Path, *extra: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run tools/setup.sh beside a copy of its input files, without Python or uv on the PATH."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    for name in ["cat", "cksum", "head", "rm"]:
        if not (programs / name).exists():
            (programs / name).symlink_to(shutil.which(name) or name)
    for name in ["tools/setup.sh", "requirements/cpu.lock", "requirements/patterns.lock", "requirements/uv.lock"]:
        (folder / name).parent.mkdir(exist_ok=True)
        if not (folder / name).exists():
            (folder / name).write_bytes((ROOT / name).read_bytes())
    path = {"PATH": str(programs), "HOME": str(folder)}
    command = ["/bin/sh", "tools/setup.sh", "cpu", *extra]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, env=path | environment)


def fake_python(path: Path, body: str) -> str:
    """Write a program that stands in for an interpreter."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def assert_one_sentence(done: subprocess.CompletedProcess[str], words: str) -> None:
    """Check that a program failed with a one-line message that contains `words`."""
    assert done.returncode != 0
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert words in done.stderr


@pytest.mark.parametrize("version", ["2.7", "3.10", "3.14"])
def test_setup_rejects_a_python_out_of_range(version: str, tmp_path: Path) -> None:
    done = setup(tmp_path, PYTHON=fake_python(tmp_path / "python", f"echo {version}"))
    assert_one_sentence(done, f"is Python {version}, but Cisnake requires Python 3.11, 3.12 or 3.13")
    assert not (tmp_path / ".venv").exists()


def test_setup_reports_a_missing_python(tmp_path: Path) -> None:
    assert_one_sentence(setup(tmp_path), "no Python 3.11, 3.12 or 3.13 on the PATH")
    # The shim of a version manager is on the PATH but fails.
    shims = [
        fake_python(tmp_path / "programs" / name, "echo not switched on >&2; exit 127") for name in ["python3.13", "python3"]
    ]
    assert_one_sentence(setup(tmp_path), "no Python 3.11, 3.12 or 3.13 on the PATH")
    assert_one_sentence(setup(tmp_path, PYTHON=shims[0]), "cannot be run")


def test_setup_takes_the_newest_python_that_runs(tmp_path: Path) -> None:
    setup(tmp_path)
    fake_python(tmp_path / "programs" / "python3.13", "exit 127")
    fake_python(tmp_path / "programs" / "python3.12", "echo 3.12")
    fake_python(tmp_path / "programs" / "python3.11", "echo 3.11")
    assert "with Python 3.12 " in setup(tmp_path).stdout


def test_setup_reports_a_missing_venv_module(tmp_path: Path) -> None:
    python = fake_python(tmp_path / "python", 'case $2 in *version_info*) echo 3.11 ;; *) echo "No module" >&2; exit 1 ;; esac')
    assert_one_sentence(setup(tmp_path, PYTHON=python), "has no venv module")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ensurepip") is None, reason="this Python has no ensurepip")
def test_setup_reports_a_missing_network(tmp_path: Path) -> None:
    done = setup(tmp_path, PYTHON=sys.executable, PIP_NO_INDEX="1", PIP_CONFIG_FILE="/dev/null")
    assert_one_sentence(done, "is there a network")
    # The next attempt starts from the existing .venv.
    uv = tmp_path / ".venv" / "bin" / "uv"
    fake_python(uv, "echo 'error: Failed to fetch: https://index.invalid/absl-py/' >&2; exit 1")
    assert_one_sentence(setup(tmp_path), "could not be downloaded: is there a network")


def test_setup_does_nothing_when_it_is_done(tmp_path: Path) -> None:
    venv = tmp_path / ".venv" / "bin"
    venv.mkdir(parents=True)
    (venv.parent / "pyvenv.cfg").write_text("")
    fake_python(venv / "python", "echo 3.11")
    fake_python(venv / "uv", 'echo "$@" >> calls.txt')
    for report, words in [
        ("", "is ready (Python 3.11, TensorFlow for CPUs)"),
        ("", ""),
        ("setup", "is up to date (Python 3.11"),
    ]:
        done = setup(tmp_path, REPORT=report)
        assert done.returncode == 0, done.stderr
        assert words in done.stdout and bool(done.stdout) == bool(words)
    assert len((tmp_path / "calls.txt").read_text().splitlines()) == 1
    assert "--require-hashes" in (tmp_path / "calls.txt").read_text()
    with (tmp_path / "requirements" / "cpu.lock").open("a") as lock:
        lock.write("# another pin\n")
    assert setup(tmp_path).returncode == 0
    assert len((tmp_path / "calls.txt").read_text().splitlines()) == 2


def test_setup_adds_the_packages_for_patterns_once(tmp_path: Path) -> None:
    venv = tmp_path / ".venv" / "bin"
    venv.mkdir(parents=True)
    (venv.parent / "pyvenv.cfg").write_text("")
    fake_python(venv / "python", "echo 3.11")
    fake_python(venv / "uv", 'echo "$@" >> calls.txt')
    for extra in [("patterns",), ("patterns",), (), ("patterns",)]:
        done = setup(tmp_path, *extra)
        assert done.returncode == 0, done.stderr
    locks = [line.split()[-1] for line in (tmp_path / "calls.txt").read_text().splitlines()]
    assert locks == ["requirements/cpu.lock", "requirements/patterns.lock"]
    assert "--require-hashes" in (tmp_path / "calls.txt").read_text().splitlines()[1]
    with (tmp_path / "requirements" / "patterns.lock").open("a") as lock:
        lock.write("# another pin\n")
    assert setup(tmp_path).returncode == 0
    assert len((tmp_path / "calls.txt").read_text().splitlines()) == 2
    assert setup(tmp_path, "patterns").returncode == 0
    assert (tmp_path / "calls.txt").read_text().splitlines()[2].endswith("requirements/patterns.lock")
