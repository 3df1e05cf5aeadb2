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
MERGED_SECTIONS = frozenset({*NAMED_SECTIONS, PATTERNS})


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


def read_config_files(path: Path, constructs: Mistakes | None = None) -> Sequence[ConfigFile]:
    """Read waybill.yaml, or all files of a folder.

    Args:
        path: the file or the folder.
        constructs: where rejected constructs of YAML are added, so that the rest of the files can be checked as well.

    Raises:
        ConfigErrors: all mistakes that prevent reading, with file and line; without `constructs` also these.
    """
    paths, mistakes = find_config_files(path), Mistakes()
    _check_size(path, paths)
    files: list[ConfigFile] = []
    for each in paths:
        with mistakes.collect():
            files.append(ConfigFile(each, _read_sections(each, constructs)))
    mistakes.raise_all()
    return files


def merge_files(files: Sequence[ConfigFile], mistakes: list[ConfigError]) -> dict[str, Any]:
    """Return the sections of all files as one.

    Add a mistake for each entry that is in two files, and for each section that is not a mapping of names.
    """
    merged: dict[str, Any] = {}
    places: dict[str, Path] = {}
    for file in files:
        duplicates: list[str] = []
        found: list[ConfigError] = []
        for section, value in file.sections.items():
            paths: list[str] = []
            if section in NAMED_SECTIONS and isinstance(value, dict):
                entries = cast("dict[str, Any]", value)
                paths = [f"{section}.{name}" for name in entries]
                merged[section] = {**merged.get(section, {}), **entries}
            elif section in NAMED_SECTIONS:
                fix = f"write the name of each entry under {section}:"
                found.append(ConfigError(section, "is not a mapping of names", fix))
            elif section == PATTERNS and isinstance(value, list):
                merged[section] = [*merged.get(section, ()), *cast("list[Any]", value)]
            elif section != PATTERNS:  # the decoding of each file reports patterns of the wrong type
                paths = [section]
                merged[section] = value
            duplicates += [each for each in paths if places.setdefault(each, file.path) != file.path]
        found += [ConfigError(each, f"is also in {places[each]}", "remove one of the two") for each in duplicates]
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


def _read_sections(path: Path, constructs: Mistakes | None) -> dict[str, Any]:
    data = read_yaml(path, constructs)
    if not isinstance(data, dict):
        fix = "begin with platforms: and sources:; rule files belong in a folder of their own"
        raise ConfigError("", "has no sections", fix, file=str(path))
    sections = cast("dict[str, Any]", data)
    # An empty section is as good as none.
    return {name: value for name, value in sections.items() if value is not None or name not in MERGED_SECTIONS}
