"""Lock files of requirements/, read, and written again for made-up wheels."""

import hashlib
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from packaging.markers import Marker

REQUIREMENTS = Path(__file__).parents[2] / "requirements"
ENTRY = re.compile(r"^(?P<name>[\w.-]+)(?:\[(?P<extras>[\w,-]+)\])?==(?P<version>\S+)(?: ; (?P<marker>.+?))? \\$")
PARENT = re.compile(r"^    #(?: via|  ) (?P<parent>[\w.-]+)")


class Entry(NamedTuple):
    """One locked package, and the packages that require it."""

    name: str
    extras: frozenset[str]
    version: str
    marker: str
    parents: tuple[str, ...]

    def applies(self) -> bool:
        return not self.marker or Marker(self.marker).evaluate()

    def newer(self) -> str:
        """Give the version that an index offers after the locked one."""
        start, last = re.fullmatch(r"(.*?)(\d+)", self.version).groups()  # pyright: ignore[reportOptionalMemberAccess]
        return f"{start}{int(last) + 1}"

    def requirement(self) -> str:
        """Give the requirement of a package that requires this one: the locked version or a newer one."""
        return f"{self.name}{_brackets(self.extras)}>={self.version}" + (f" ; {self.marker}" if self.marker else "")


def read_lock(name: str) -> list[Entry]:
    """Read requirements/<name>.txt."""
    return list(_entries((REQUIREMENTS / f"{name}.txt").read_text().splitlines()))


def _entries(lines: Iterable[str]) -> Iterator[Entry]:
    found: Entry | None = None
    for line in lines:
        if match := ENTRY.match(line):
            if found:
                yield found
            extras = frozenset((match["extras"] or "").split(",")) - {""}
            found = Entry(match["name"], extras, match["version"], match["marker"] or "", ())
        elif found and (parent := PARENT.match(line)) and not line.rstrip().endswith(".txt"):
            found = found._replace(parents=(*found.parents, parent["parent"]))
    if found:
        yield found


def write_lock(
    path: Path, entries: Iterable[Entry], hashes: Mapping[tuple[str, str], str], *, extras: bool = True
) -> Path:
    """Write a lock file with the hashes of the made-up wheels, as uv writes it."""
    lines = [
        f"{entry.name}{_brackets(entry.extras) if extras else ''}=={entry.version}"
        f"{f' ; {entry.marker}' if entry.marker else ''} --hash=sha256:{hashes[entry.name, entry.version]}\n"
        for entry in entries
    ]
    path.write_text("".join(lines))
    return path


def make_wheels(folder: Path, entries: list[Entry]) -> dict[tuple[str, str], str]:
    """Make a wheel of each locked version, and a newer one of each package with an extra; give the former's hashes."""
    hashes: dict[tuple[str, str], str] = {}
    for entry in entries:
        requires = [other.requirement() for other in entries if entry.name in other.parents]
        locked = make_wheel(folder, entry.name, entry.version, entry.extras, requires)
        hashes[entry.name, entry.version] = hashlib.sha256(locked.read_bytes()).hexdigest()
        if entry.extras:
            make_wheel(folder, entry.name, entry.newer(), entry.extras, requires)
    return hashes


def make_wheel(folder: Path, name: str, version: str, extras: Iterable[str], requires: Iterable[str]) -> Path:
    """Make a wheel that holds metadata alone."""
    stem = f"{re.sub(r'[-_.]+', '_', name)}-{version}"
    metadata = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        *(f"Provides-Extra: {extra}" for extra in extras),
        *(f"Requires-Dist: {requirement}" for requirement in requires),
    ]
    wheel = ["Wheel-Version: 1.0", "Generator: made-up", "Root-Is-Purelib: true", "Tag: py3-none-any"]
    files = {"METADATA": "\n".join(metadata) + "\n", "WHEEL": "\n".join(wheel) + "\n"}
    record = [*(f"{stem}.dist-info/{file},," for file in files), f"{stem}.dist-info/RECORD,,"]
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**files, "RECORD": "\n".join(record) + "\n"}.items():
            archive.writestr(f"{stem}.dist-info/{file}", text)
    return path


def _brackets(extras: Iterable[str]) -> str:
    return f"[{','.join(sorted(extras))}]" if extras else ""
