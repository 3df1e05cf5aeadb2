"""Skip the tests that need Helm if no Helm is fetched, with a note in the summary."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helm.rendering import render
from tests.helm.schema import CHART
from tests.helm.tools import missing

NEEDS_NO_HELM = {"test_generated.py"}
REASON = missing()


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    if REASON and collection_path.parent == Path(__file__).parent and collection_path.name not in NEEDS_NO_HELM:
        return True
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if REASON:
        terminalreporter.write_line(f"THE CHART WAS NOT TESTED: {REASON}", red=True, bold=True)


@pytest.fixture
def notes(tmp_path: Path) -> Callable[..., str]:
    """Render the notes into a ConfigMap of a copied chart, since Helm shows notes only with a cluster."""
    chart = tmp_path / "helm"
    shutil.copytree(CHART, chart)
    expected = '{{ include (print .Template.BasePath "/NOTES.txt") . | toJson }}'
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: notes}}\ndata: {{notes: {expected}}}\n"
    (chart / "templates" / "notes.yaml").write_text(text)

    def render_notes(case: str, **values: Any) -> str:
        return render(case, values, chart=chart)["ConfigMap/notes"]["data"]["notes"]

    return render_notes
