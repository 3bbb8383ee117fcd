"""Description of the machine that a benchmark runs on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path


def describe_machine() -> str:
    """Return processor, cores, memory, operating system and current load as one line."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    load = f"{os.getloadavg()[0]:.1f} processes running before the start"
    return f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB of memory, {_system()}, no GPU used; {load}"


def describe_revision(folder: Path) -> str:
    """Return the commit of a clone of a repository."""
    found = subprocess.run(["git", "-C", folder, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return f"commit {found.stdout.strip()}" if found.returncode == 0 else "an unknown commit"


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), flags=re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.platform(terse=True)
