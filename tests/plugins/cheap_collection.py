"""Plugin that collects the tests with less work. Each pytest worker collects all of them.

pytest-asyncio makes each asynchronous test twice: as a function, and again as its own kind. Here the first changes its
class. pytest reads the signature of the fixture `request` for each use of it.
"""

from collections.abc import Callable

import pytest
from _pytest import fixtures
from _pytest.compat import getfuncargnames
from pytest_asyncio.plugin import PytestAsyncioFunction


def _as_asynchronous(kind: type[PytestAsyncioFunction], function: pytest.Function) -> pytest.Function:
    function.__class__ = kind
    return function


def _argument_names(function: Callable[..., object], *, name: str = "", **options: type) -> tuple[str, ...]:
    return () if name == "request" else getfuncargnames(function, name=name, **options)


def pytest_configure() -> None:
    fixtures.getfuncargnames = _argument_names  # pyright: ignore[reportPrivateImportUsage]
    assert "_from_function" in vars(PytestAsyncioFunction), "pytest-asyncio makes tests in another way"
    PytestAsyncioFunction._from_function = classmethod(_as_asynchronous)  # pyright: ignore[reportAttributeAccessIssue]
