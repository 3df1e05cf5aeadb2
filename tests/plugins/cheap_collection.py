"""Plugin that collects the tests with less work. Each pytest worker collects all of them.

pytest-asyncio makes each asynchronous test twice: as a function, and again as its own kind. Here the first changes its
class. pytest reads the signature of the fixture `request` for each use of it. Large libraries that one module uses are
loaded by the first test that needs them.
"""

import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

import pytest
from _pytest import fixtures
from _pytest.compat import getfuncargnames
from pytest_asyncio.plugin import PytestAsyncioFunction

ON_FIRST_USE = frozenset({"stripe", "svix"})
"""Libraries of which the modules of tests import nothing but the package."""


class OnFirstUse(importlib.machinery.PathFinder):
    """Finder of these libraries."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        spec = super().find_spec(fullname, path, target) if fullname in ON_FIRST_USE else None
        if spec is not None and spec.loader is not None:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


def _as_asynchronous(kind: type[PytestAsyncioFunction], function: pytest.Function) -> pytest.Function:
    function.__class__ = kind
    return function


def _argument_names(function: Callable[..., object], *, name: str = "", **options: type) -> tuple[str, ...]:
    return () if name == "request" else getfuncargnames(function, name=name, **options)


def pytest_configure() -> None:
    fixtures.getfuncargnames = _argument_names  # pyright: ignore[reportPrivateImportUsage]
    assert "_from_function" in vars(PytestAsyncioFunction), "pytest-asyncio makes tests in another way"
    PytestAsyncioFunction._from_function = classmethod(_as_asynchronous)  # pyright: ignore[reportAttributeAccessIssue]
    sys.meta_path.insert(0, OnFirstUse)
