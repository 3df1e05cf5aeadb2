"""Extensions of other packages: `waybill check` reports all their mistakes at once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from service.actions import load_actions
from service.errors import ConfigError
from service.extensions import describe_extensions, find_extension_mistakes

PACKAGE = """
import logging

from arq import func
from litestar.plugins import InitPlugin
from service.actions import Action

class Fine(InitPlugin):
    pass

class Other(Action, tag="log"):
    pass

def explode():
    raise LookupError("no license")

async def double(ctx, number):
    return 2 * number

def keep(logger, level, fields):
    return fields

FUNCTIONS = [double]
SYNCHRONOUS = [print]
ACTIONS = [Other]
NUMBER = 7
"""
MISTAKES = {
    "waybill.actions.number": "extra_package:NUMBER is not a sequence of actions",
    "waybill.actions.plugins": "<class 'extra_package.Fine'> is not an action",
    "waybill.actions.taken": "the action type log is taken",
    "waybill.functions.missing": "extra_package:MISSING cannot be imported (AttributeError: ",
    "waybill.functions.synchronous": "<built-in function print> is not a coroutine function",
    "waybill.functions.twice": "the function name double is taken",
    "waybill.litestar_plugins.absent": "absent_package:PLUGIN cannot be imported (ModuleNotFoundError: ",
    "waybill.litestar_plugins.explode": "extra_package:explode raised an exception (LookupError: no license; ",
    "waybill.litestar_plugins.number": "extra_package:NUMBER is not a Litestar plugin",
    "waybill.log_processors.broken": "broken_package:keep cannot be imported (ZeroDivisionError: ",
    "waybill.log_processors.number": "extra_package:NUMBER is not callable",
}
ENTRY_POINTS = """
[waybill.actions]
number = extra_package:NUMBER
plugins = extra_package:PLUGINS
taken = extra_package:ACTIONS
[waybill.functions]
fine = extra_package:FUNCTIONS
missing = extra_package:MISSING
synchronous = extra_package:SYNCHRONOUS
twice = extra_package:FUNCTIONS
[waybill.litestar_plugins]
absent = absent_package:PLUGIN
explode = extra_package:explode
fine = extra_package:Fine
number = extra_package:NUMBER
[waybill.log_processors]
broken = broken_package:keep
fine = extra_package:keep
number = extra_package:NUMBER
"""
Install = Callable[[str], object]


@pytest.fixture
def install(packages: Path) -> Install:
    """Return a function that installs a package with these entry points."""
    (packages / "extra_package.py").write_text(PACKAGE + "PLUGINS = [Fine]\n")
    (packages / "broken_package.py").write_text("keep = 1 / 0\n")
    metadata = packages / "extra_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: extra-package\nVersion: 1.0\n")
    return (metadata / "entry_points.txt").write_text


def test_all_mistakes_of_all_groups_are_found(install: Install) -> None:
    install(ENTRY_POINTS)
    found = {mistake.path.removeprefix("entry point "): mistake for mistake in find_extension_mistakes()}
    assert set(found) == set(MISTAKES)
    for path, reason in MISTAKES.items():
        assert found[path].reason.startswith(reason), path
        assert found[path].fix
    assert "broken_package.py, line 1)" in found["waybill.log_processors.broken"].reason
    assert "uninstall the package extra-package" in found["waybill.functions.missing"].fix


def test_extensions_without_mistakes_are_listed(install: Install) -> None:
    install("[waybill.functions]\nfine = extra_package:FUNCTIONS\n")
    assert find_extension_mistakes() == []
    assert describe_extensions() == [
        "extension waybill.functions  fine  extra_package:FUNCTIONS, package extra-package"
    ]  # fmt: skip


def test_action_of_a_package_does_not_replace_a_built_in_one(install: Install) -> None:
    install("[waybill.actions]\naaa = extra_package:ACTIONS\n")
    with pytest.raises(ConfigError, match=r"entry point waybill\.actions\.aaa: the action type log is taken"):
        load_actions()
