"""Build of the interpreter. One without optimizations makes Waybill up to a seventh slower, but not Node."""

import platform
import sys
import sysconfig
from pathlib import Path

OPTIMIZATIONS = ("--enable-optimizations", "--with-lto")
DISTRIBUTIONS = ("debian", "ubuntu", "fedora", "rhel", "alpine", "arch")
"""Distributions whose package of Python is optimized, whatever its configuration says."""


def optimizations() -> str:
    """Return the optimizations of this interpreter, or an empty text."""
    configured = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    found = [name for name in OPTIMIZATIONS if name in configured]
    if found:
        return " ".join(found)
    return f"package of {_distribution()}" if sys.base_prefix == "/usr" and _distribution() in DISTRIBUTIONS else ""


def describe_interpreter() -> str:
    """Return the version and the build, with a warning if it is not optimized."""
    name = f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}"
    built = optimizations()
    if built:
        return f"{name}, optimized: {built}"
    return (
        f"{name}, NOT OPTIMIZED (built without {OPTIMIZATIONS[0]}): Waybill is slower than with the interpreter of the "
        "image or of Debian; use make PYTHON=/usr/bin/python3 bench"
    )


def _distribution() -> str:
    release = Path("/etc/os-release")
    lines = release.read_text(encoding="utf-8").splitlines() if release.exists() else []
    return next((line[3:].strip('"') for line in lines if line.startswith("ID=")), "")
