"""Fixture: a browser that the tests of a pytest worker share."""

from collections.abc import Iterator

import pytest

from .chromium import Windows


@pytest.fixture(scope="session")
def windows() -> Iterator[Windows]:
    shared = Windows()
    yield shared
    shared.close()
