"""Files of the configuration: waybill.yaml, or a folder of files that are merged by section.

Named entries, such as sources, may be spread over the files; each name exists once. The patterns of `rules` are joined.
`outbound` and `admin` are in one file.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from msgspec import Struct

from service.config.locations import locate
from service.config.strict_yaml import read_yaml
from service.errors import ConfigError
from service.mistakes import Mistakes

FILES_MAX = 1_000
FOLDER_BYTES_MAX = 16_777_216
"""Maximum size of all files of a folder. One file has at most `strict_yaml.FILE_BYTES_MAX` bytes."""
SUFFIXES = frozenset({".yaml", ".yml"})
NAMED_SECTIONS = ("platforms", "records", "sources", "destinations")
PATTERNS = "rules"


class ConfigFile(Struct, frozen=True):
    """One file with its sections as plain data."""

    path: Path
    sections: Mapping[str, Any]


def config_folder(path: Path) -> Path:
    """Return the folder of the configuration. The patterns of rule files are relative to it."""
    return path if path.is_dir() else path.parent


def find_config_files(path: Path) -> list[Path]:
    """Return waybill.yaml, or the YAML files of a folder by name, without those in folders below and hidden ones.

    An unreadable folder has no files.
    """
    if not path.is_dir():
        return [path]
    try:
        return sorted(each for each in path.iterdir() if each.suffix in SUFFIXES and not each.name.startswith("."))
    except OSError:
        return []


def read_config_files(path: Path) -> Sequence[ConfigFile]:
    """Read waybill.yaml, or all files of a folder.

    Raises:
        ConfigErrors: all mistakes that prevent reading, with file and line.
    """
    paths, mistakes = find_config_files(path), Mistakes()
    _check_size(path, paths)
    files: list[ConfigFile] = []
    for each in paths:
        with mistakes.collect():
            files.append(ConfigFile(each, _read_sections(each)))
    mistakes.raise_all()
    return files


def merge_files(files: Sequence[ConfigFile], mistakes: list[ConfigError]) -> dict[str, Any]:
    """Return the sections of all files as one, and add a mistake for each entry that is in two of them."""
    merged: dict[str, Any] = {}
    places: dict[str, Path] = {}
    for file in files:
        duplicates: list[str] = []
        for section, value in file.sections.items():
            if section in NAMED_SECTIONS and isinstance(value, dict):
                entries = cast("dict[str, Any]", value)
                paths = [f"{section}.{name}" for name in entries]
                known = merged.setdefault(section, {})
                merged[section] = {**known, **entries} if isinstance(known, dict) else known
            elif section == PATTERNS and isinstance(value, list):
                paths = []
                merged[section] = [*merged.get(section, ()), *cast("list[Any]", value)]
            else:
                paths = [section]
                merged[section] = value
            duplicates += [each for each in paths if places.setdefault(each, file.path) != file.path]
        found = [ConfigError(each, f"is also in {places[each]}", "remove one of the two") for each in duplicates]
        mistakes += locate(found, [file.path])
    return merged


def _check_size(path: Path, paths: Sequence[Path]) -> None:
    if not paths:
        fix = "add a file such as waybill.yaml, or name another folder in WAYBILL_CONFIG"
        raise ConfigError("", "is a folder without *.yaml files", fix, file=str(path))
    if len(paths) > FILES_MAX:
        reason = f"has {len(paths)} files, at most {FILES_MAX} are read"
        raise ConfigError("", reason, "write several entries into one file", file=str(path))
    if len(paths) > 1 and (size := sum(each.stat().st_size for each in paths if each.exists())) > FOLDER_BYTES_MAX:
        reason = f"its files have {size} bytes, more than {FOLDER_BYTES_MAX}"
        raise ConfigError("", reason, "run several installations", file=str(path))


def _read_sections(path: Path) -> dict[str, Any]:
    data = read_yaml(path)
    if not isinstance(data, dict):
        fix = "begin with platforms: and sources:; rule files belong in a folder of their own"
        raise ConfigError("", "has no sections", fix, file=str(path))
    return cast("dict[str, Any]", data)
