"""Virtual environments of the peers, whose requirements conflict with each other and with Cisnake's."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

DEFAULT_FOLDER = Path.home() / ".cache" / "cisnake-benchmarks"

# The last TensorFlow release that runs Basenji unpatched; it has wheels up to Python 3.11.
_TENSORFLOW = "tensorflow-cpu" if (sys.platform, platform.machine()) == ("linux", "x86_64") else "tensorflow"
PYTHON = "3.11"

# Packages by environment, one list per install command. PyTorch is installed first and alone, so that no later package changes
# its version.
REQUIREMENTS = {
    "basenji": [[f"{_TENSORFLOW}==2.15.1", "natsort==8.4.0", "packaging==26.3"]],
    "baskerville": [
        [f"{_TENSORFLOW}==2.15.1", "natsort==8.4.0", "packaging==26.3", "protobuf==4.25.9"],
        ["pandas==2.2.3", "scipy==1.13.1", "pysam==0.23.3", "pybedtools==0.12.0", "intervaltree==3.1.0", "tqdm==4.67.1"],
        ["google-cloud-storage==2.19.0", "google-api-core==2.19.2", "googleapis-common-protos==1.63.2", "proto-plus==1.24.0"],
    ],
    "torch": [["torch==2.13.0"], ["captum==0.8.0"]],
    "decima": [["torch==2.13.0"], ["decima==0.7.2"]],
    "motifs": [["memelite==0.5.0", "MOODS-python==1.9.4.1", "pymemesuite==0.1.0a4"]],
    "tangermeme": [["torch==2.13.0"], ["tangermeme==1.6.0"]],
}


def python_of(name: str, folder: Path) -> Path:
    """Return the Python of an environment, after creating or completing it if needed.

    Parameters
    ----------
    name: str
        Key of `REQUIREMENTS`.
    folder: Path
        Folder of all environments; each is a subfolder with its name.

    Raises
    ------
    SystemExit
        uv is missing, or an installation fails.
    """
    python = folder / name / "bin" / "python"
    if _is_complete(name, python):
        return python
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        raise SystemExit("uv is not found: run make setup, and start this program with .venv/bin/python.")
    print(f"creating {folder / name}", file=sys.stderr)
    # pip, not uv, installs: it prefers a CPU wheel of PyTorch if the machine's pip settings offer one.
    commands = [] if python.exists() else [[uv, "venv", "--quiet", "--seed", "--python", PYTHON, str(folder / name)]]
    commands += [[str(python), "-m", "pip", "install", "--quiet", *packages] for packages in REQUIREMENTS[name]]
    for command in commands:
        if subprocess.run(command, stdout=sys.stderr).returncode:
            raise SystemExit(f"cannot create the environment {name}: {' '.join(command)} failed.")
    return python


def _is_complete(name: str, python: Path) -> bool:
    if not python.exists():
        return False
    pinned = [package.split("==") for packages in REQUIREMENTS[name] for package in packages]
    code = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]), sep='\\n')"
    found = subprocess.run([python, "-c", code, *(name for name, _ in pinned)], capture_output=True, text=True)
    # 2.13.0+cpu is a build of 2.13.0.
    return [line.split("+")[0] for line in found.stdout.split()] == [version for _, version in pinned]
