"""The blocks of docs/kubernetes.md, for the tests that try them."""

import re
from typing import Any

import yaml

from tests.helm.schema import CHART

GUIDE = CHART.parent / "docs" / "kubernetes.md"
DIGEST = "sha256:" + "0123456789abcdef" * 4


def blocks(language: str) -> list[str]:
    """Give the fenced blocks of a language, in order."""
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", GUIDE.read_text())


def block(language: str, mark: str) -> str:
    """Give the one block that has this in it."""
    (found,) = (text for text in blocks(language) if mark in text)
    return found


def values() -> dict[str, Any]:
    """Give the worked installation's values, with a digest in the place of the dots."""
    return yaml.safe_load(block("yaml", "image:").replace("sha256:…", DIGEST))
