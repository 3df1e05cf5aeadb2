"""Code blocks of docs/how-to/kubernetes.md, for the tests that run them."""

import re
from typing import Any

import yaml

from tests.helm.schema import CHART

GUIDE = CHART.parent / "docs" / "how-to" / "kubernetes.md"
DIGEST = "sha256:" + "0123456789abcdef" * 4


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of a language, in order."""
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", GUIDE.read_text())


def block(language: str, mark: str) -> str:
    """Return the only block that contains `mark`."""
    (found,) = (text for text in blocks(language) if mark in text)
    return found


def values() -> dict[str, Any]:
    """Return the values of the example installation, with a complete digest."""
    return yaml.safe_load(block("yaml", "image:").replace("sha256:…", DIGEST))
