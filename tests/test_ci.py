"""Rules for installation, tests and releases: hosts, pip's options, stages and actions."""

import re
from pathlib import Path
from typing import Any

import yaml

from tests.test_conventions import ROOT, texts

INDEX_HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("yarnpkg", "com"),
        ("deb", "debian", "org"),
        ("ftp", "debian", "org"),
        ("security", "debian", "org"),
        ("snapshot", "debian", "org"),
        ("archive", "ubuntu", "com"),
        ("proxy", "golang", "org"),
        ("sum", "golang", "org"),
        ("crates", "io"),
        ("rubygems", "org"),
        ("maven", "org"),
        ("maven", "apache", "org"),
    )
]
"""Hosts of package indexes; they are put together here so that this file does not name them."""


def test_no_file_names_the_host_of_a_package_index() -> None:
    found = [
        f"{name}: {host}" for name, text in texts() for lower in [text.lower()] for host in INDEX_HOSTS if host in lower
    ]
    assert found == []


def test_whatever_pip_installs_is_hashed_and_not_resolved() -> None:
    command = re.compile(r"\bpip\b[^\n#]*? (?:install|download) -(?:[^\n\\]|\\\n)*")
    scripts = {"Makefile", "Dockerfile", ".ci/run", "requirements/install"}
    scripts |= {name for name, text in texts() if text.startswith("#!") and name.startswith("tests/")}
    found = [(name, match[0]) for name, text in texts() if name in scripts for match in command.finditer(text)]
    assert {"Makefile", "Dockerfile", "requirements/install", "tests/image/build"} <= {name for name, _ in found}
    for name, text in found:
        assert "--no-deps" in text, name
        assert "--require-hashes" in text or "--no-index" in text, name


def test_the_workflow_runs_every_stage_of_ci() -> None:
    steps = re.search(r"^steps=\((.+)\)$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    jobs = workflow("ci")["jobs"]
    assert steps
    assert jobs["stage"]["strategy"]["matrix"]["stage"] == re.findall(r"\w+", steps[1])
    assert jobs["required"]["needs"] == [name for name in jobs if name != "required"]


def test_every_action_is_pinned_by_the_hash_of_a_commit() -> None:
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        for used in re.findall(r"\buses: (\S+)", path.read_text()):
            assert used.startswith("./") or re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", used), used


def workflow(name: str) -> Any:
    return yaml.safe_load(Path(ROOT / ".github" / "workflows" / f"{name}.yml").read_text())
