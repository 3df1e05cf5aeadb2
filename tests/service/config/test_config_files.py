"""waybill.yaml as a folder: files merged by section, mistakes with file and line, limits, and the time to load."""

import re
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from service.cli.check import check
from service.config import config_files
from service.config.config_files import FILES_MAX, FOLDER_BYTES_MAX, merge_files, read_config_files
from service.config.loading import load_record_types
from service.configuration import load_config, read_config
from service.errors import ConfigError

ENVIRON = {"TOKEN": "token-0123456789"}
SHOP = "{kind: custom, base_url: https://shop.test, auth: {type: none}, records: {order: {path: '/{id}', map: {}}}}"
VERIFY = "{scheme: bearer, secrets: [{env: TOKEN}]}"
ENVELOPE = "{kind: custom, id: /id, type: /type, record: {kind: order, id: /order}}"
SOURCE = f"{{platform: shop, verify: {VERIFY}, envelope: {ENVELOPE}}}"
FILES = {
    "10-shop.yaml": f"platforms: {{shop: {SHOP}}}\nrecords: {{order: {{fields: {{total: money}}}}}}\n"
    "rules: [rules/a.yaml]",
    "20-sources.yml": f"sources:\n  one: {SOURCE}\nrules: [rules/b.yaml]\n",
    "30-sources.yaml": f"# of the second team\n\nsources:\n  two: {SOURCE}\noutbound: {{allow_private_hosts: [erp]}}\n",
}


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def found(folder: Path, **changed: str) -> list[str]:
    """Return the mistakes of the folder with changed files, each as `file:line: path: reason`."""
    names = {name[:2]: name for name in FILES}
    write(folder, FILES | {names[key[1:]]: text for key, text in changed.items()})
    mistakes = read_config(folder, ENVIRON).mistakes
    assert all(each.fix for each in mistakes)
    return [f"{Path(each.file or '').name}:{each.line}: {each.path}: {each.reason}" for each in mistakes]


def test_mistakes_name_the_file_and_the_line(tmp_path: Path) -> None:
    texts = found(
        tmp_path,
        f20=f"sources:\n  one: {SOURCE}\n  three: {{platform: shopp, verify: {VERIFY}, envelope: {ENVELOPE}}}\n"
        "rules: [a, 7]\nruls: []\n",
        f30=f"sources:\n  two: {SOURCE}\n  one: {SOURCE}\n  Four: {{}}\n"
        "records: {box: {fields: {a: txt}}}\nadmin: 1\n",
    )
    assert sorted(texts) == [
        "20-sources.yml:3: sources.three.platform: there is no platform shopp",
        "20-sources.yml:4: rules[1]: Expected `str`, got `int`",
        "20-sources.yml:5: ruls: unknown key",
        f"30-sources.yaml:3: sources.one: is also in {tmp_path / '20-sources.yml'}",
        "30-sources.yaml:4: sources.Four: is not a valid name",
        "30-sources.yaml:5: records.box.fields.a: Invalid enum value 'txt'",
        "30-sources.yaml:6: admin: Expected `object`, got `int`",
    ]


def test_unreadable_files_are_all_reported(tmp_path: Path) -> None:
    texts = found(tmp_path, f10="a: [", f20="- id: rule\n", f30="a: 1\na: 2\n")
    assert texts == [
        "10-shop.yaml:1: : did not find expected node content",
        "20-sources.yml:None: : has no sections",
        "30-sources.yaml:2: a: is a duplicate key, repeated in line 2",
    ]


def test_a_rejected_construct_does_not_hide_other_mistakes_and_none_follows_from_it(tmp_path: Path) -> None:
    text = "platforms:\n  a:\n    kind: custm\n    auth: {type: none, 7: x}\n    auth: {type: basic}\nadmin: 6\n"
    texts = found(tmp_path, f10=text)
    assert [each for each in texts if each.startswith("10-shop.yaml")] == [
        "10-shop.yaml:4: platforms.a.auth: the key in line 4 is not text",
        "10-shop.yaml:5: platforms.a.auth: is a duplicate key, repeated in line 5",
        "10-shop.yaml:3: platforms.a.kind: Invalid value 'custm'",
        "10-shop.yaml:6: admin: Expected `object`, got `int`",
    ]


@pytest.mark.parametrize("section", ["platforms", "records", "sources", "destinations", "rules"])
def test_empty_section_of_a_file_does_not_change_those_of_others(tmp_path: Path, section: str) -> None:
    write(tmp_path, FILES | {"40-erp.yaml": "destinations: {erp: {kind: http, url: 'https://erp.test'}}\n"})
    whole = replace(load_config(tmp_path, ENVIRON), record_types={})
    for name in ("00-empty.yaml", "90-empty.yaml"):
        (tmp_path / name).write_text(f"{section}:\n")
    assert replace(load_config(tmp_path, ENVIRON), record_types={}) == whole
    assert list(whole.destinations) == ["erp"]


@pytest.mark.parametrize("name", ["00-wrong.yaml", "90-wrong.yaml"])
def test_section_of_the_wrong_type_is_reported_with_its_file_and_not_merged(tmp_path: Path, name: str) -> None:
    wrong = "platforms: text\nrecords: [1]\nsources: 7\ndestinations: false\nrules: r/*.yaml\n"
    sections = ("platforms", "records", "sources", "destinations")
    write(tmp_path, {name: wrong})
    expected = [f"{name}:{line}: {each}: is not a mapping of names" for line, each in enumerate(sections, 1)]
    assert sorted(found(tmp_path)) == sorted([*expected, f"{name}:5: rules: Expected `array`, got `str`"])
    mistakes: list[ConfigError] = []
    merged = merge_files(read_config_files(tmp_path), mistakes)
    assert (merged["rules"], list(merged["sources"])) == (["rules/a.yaml", "rules/b.yaml"], ["one", "two"])


def test_section_without_names_is_in_one_file(tmp_path: Path) -> None:
    text = FILES["20-sources.yml"] + "outbound: {}\n"
    assert found(tmp_path, f20=text) == [f"30-sources.yaml:5: outbound: is also in {tmp_path / '20-sources.yml'}"]


def test_folder_without_files_and_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".hidden.yaml").write_text("a")
    (tmp_path / "rules").mkdir()
    (mistake,) = read_config(tmp_path, ENVIRON).mistakes
    assert (mistake.file, mistake.reason) == (str(tmp_path), "is a folder without *.yaml files")
    write(tmp_path, FILES)
    monkeypatch.setattr(config_files, "FOLDER_BYTES_MAX", sum(len(text.encode()) for text in FILES.values()))
    assert read_config(tmp_path, ENVIRON).mistakes == ()
    (tmp_path / "30-sources.yaml").write_text(FILES["30-sources.yaml"] + "\n")
    (mistake,) = read_config(tmp_path, ENVIRON).mistakes
    assert "bytes, more than" in mistake.reason
    for number in range(FILES_MAX - len(FILES)):
        (tmp_path / f"x{number}.yaml").write_text("{}")
    monkeypatch.setattr(config_files, "FOLDER_BYTES_MAX", FOLDER_BYTES_MAX)
    assert read_config(tmp_path, ENVIRON).mistakes == ()
    (tmp_path / "y.yaml").write_text("{}")
    (mistake,) = read_config(tmp_path, ENVIRON).mistakes
    assert mistake.reason == f"has {FILES_MAX + 1} files, at most {FILES_MAX} are read"


def test_folder_is_loaded_as_one_file(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, FILES), ENVIRON)
    assert (list(config.sources), list(config.platforms)) == (["one", "two"], ["shop"])
    assert config.rules == ("rules/a.yaml", "rules/b.yaml")
    assert config.outbound.allow_private_hosts == ("erp",)
    assert config.folder == tmp_path
    assert sorted(load_record_types(tmp_path)) == ["customer", "event", "order", "purchase_order"]


def test_check_of_a_folder_reports_rules_relative_to_it(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    (tmp_path / "rules").mkdir()
    rule = "- {{id: {}, type: order, sources: [{}], actions: [{{id: a, do: log, message: m}}]}}\n"
    (tmp_path / "rules/a.yaml").write_text(rule.format("a", "one"))
    (tmp_path / "rules/b.yaml").write_text(rule.format("b", "tow"))
    run = CliRunner(env=ENVIRON).invoke(check, ["--config", str(tmp_path)])
    assert run.exit_code == 2
    assert f"{tmp_path}/rules/b.yaml:1: rule b: rules[0].sources[0]: no source 'tow' in waybill.yaml" in run.stderr
    (tmp_path / "rules/b.yaml").write_text(rule.format("b", "two"))
    run = CliRunner(env=ENVIRON).invoke(check, ["--config", str(tmp_path)])
    assert run.exit_code == 0, run.stderr
    assert len(re.findall(r"^(source|rule) ", run.stdout, re.MULTILINE)) == 4


@pytest.mark.parametrize("files", [1, 100])
def test_a_thousand_sources_are_loaded_in_less_than_a_second(tmp_path: Path, files: int) -> None:
    (tmp_path / "shop.yaml").write_text(FILES["10-shop.yaml"])
    per_file = 1_000 // files
    for number in range(files):
        lines = [f"  s-{number}-{each}: {SOURCE}" for each in range(per_file)]
        (tmp_path / f"sources-{number}.yaml").write_text("\n".join(["sources:", *lines]))
    started = time.process_time()
    config = load_config(tmp_path, ENVIRON)
    seconds = time.process_time() - started
    assert len(config.sources) == 1_000
    assert seconds < 1
