"""What docs/kubernetes.md shows is what the chart and the commands take, and nothing in it is left untried unsaid."""

import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from tests.helm import guide
from tests.helm.readme import read_rows
from tests.helm.rendering import Refused, helm, render_alone
from tests.helm.schema import CHART

ROOT = CHART.parent

SHELL = {
    "helm repo add": "not run: other projects' charts",
    "docker build": "not run: tests/image/build builds the same Dockerfile with buildah",
    "namespace shop": "tests/helm/check_apiserver.py",
    "vault kv put": "not run: somebody else's store of secrets",
    "generic waybill-pack": "tests/helm/check_apiserver.py",
    "helm upgrade --install": "tests/helm/check_apiserver.py",
    "openssl dgst": "tests/image/live.py",
    "port-forward": "not run: the call itself is in tests/image/live.py",
    "namespace data": "not run: another project's chart",
    "get-master-addr-by-name": "tests/image/sentinels.py",
}
"""Every block of shell by words that only it has, and where it is tried."""


def test_every_block_of_shell_is_accounted_for() -> None:
    found = guide.blocks("sh")
    assert [[mark for mark in SHELL if mark in text] for text in found] == [[mark] for mark in SHELL]


def test_what_is_said_to_be_tried_is() -> None:
    for mark, where in SHELL.items():
        if not where.startswith("not run"):
            assert f'block("sh", "{mark}")' in (ROOT / where).read_text(), mark


def additions() -> list[str]:
    return [text for text in guide.blocks("yaml") if "image:" not in text]


def test_the_values_of_the_worked_installation_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "values.yaml"
    path.write_text(guide.block("yaml", "image:").replace("sha256:…", guide.DIGEST))
    assert "0 chart(s) failed" in helm("lint", "--strict", CHART, "--values", path)
    objects = render_alone(guide.values())
    assert {"Job/rel-waybill-rules", "Ingress/rel-waybill", "ExternalSecret/waybill-pack"} <= objects.keys()


@pytest.mark.parametrize("added", additions())
def test_values_to_add_are_taken(added: str) -> None:
    assert render_alone(merged(guide.values(), yaml.safe_load(added)))


def test_values_that_nobody_knows_would_be_told() -> None:
    with pytest.raises(Refused):
        render_alone(merged(guide.values(), {"monitoring": {"dashbords": {}}}))


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Lay values over values, as a second --values does."""
    whole = dict(below)
    for key, value in above.items():
        under = whole.get(key)
        both = isinstance(value, dict) and isinstance(under, dict)
        whole[key] = merged(cast("dict[str, Any]", under), cast("dict[str, Any]", value)) if both else value
    return whole


def test_its_configuration_and_rules_are_good_to_waybill_check(tmp_path: Path) -> None:
    objects = render_alone(guide.values())
    text: str = objects["ConfigMap/rel-waybill-config"]["data"]["waybill.yaml"]
    (tmp_path / "waybill.yaml").write_text(text.replace("/etc/waybill/rules/*/*.yaml", f"{tmp_path}/rules/*.yaml"))
    (tmp_path / "rules").mkdir()
    for name, rules in objects["ConfigMap/rel-waybill-rules"]["data"].items():
        (tmp_path / "rules" / name).write_text(rules)
    made = objects["ExternalSecret/waybill-pack"]["spec"]["data"]
    environ = {each["secretKey"]: "ab" * 32 for each in made} | {"WAYBILL_CONFIG": str(tmp_path / "waybill.yaml")}
    command = [str(Path(sys.executable).with_name("waybill")), "check"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environ)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rule      short-receipt  purchase_order" in done.stdout


def test_every_value_it_names_exists() -> None:
    rows = {row.path for row in read_rows()}
    tops = {path.split(".")[0] for path in rows}
    text = re.sub(r"(?ms)^```.*?^```$", "", guide.GUIDE.read_text())
    named = {word for word in re.findall(r"`([A-Za-z]+(?:\.[A-Za-z]+)+)[:=`]", text) if word.split(".")[0] in tops}
    assert len(named) > 20
    known = rows | {path.rsplit(".", count)[0] for path in rows for count in range(1, path.count(".") + 1)}
    assert sorted(named - known) == []


def test_its_settings_are_known() -> None:
    """Those of the sizing table."""
    written = re.search(r"`(\{body_retention_hours: .*?\})`", guide.GUIDE.read_text())
    assert written
    assert render_alone({**guide.values(), "settings": yaml.safe_load(written[1])})


@pytest.mark.parametrize(
    "path", sorted((ROOT / "docs" / "examples" / "cluster").glob("*.yaml")), ids=lambda path: path.name
)
def test_the_other_charts_values_are_yaml_and_named(path: Path) -> None:
    assert yaml.safe_load(path.read_text())
    assert f"-f docs/examples/cluster/{path.name}" in guide.GUIDE.read_text()


def maxmemory(**known: float) -> float:
    """Give the gigabytes that the formulas of docs/capacity.md come to, as they are written there."""
    formulas = re.findall(r"(?m)^(?:waiting|bodies|history) +=(.*?)(?:  .*)?$", (ROOT / "docs/capacity.md").read_text())
    assert len(formulas) == 3
    total = 0.0
    for written in formulas:
        text = written.replace("\u00d7", "*").replace(",", "").replace("WAYBILL_", "")
        assert re.fullmatch(r"[\w\s*/+().]+", text), text
        total += eval(text, {}, known)  # noqa: S307 - arithmetic alone, as the line above sees to
    return total / 0.8 / 1e9


def test_the_sizes_are_what_the_formulas_of_capacity_give() -> None:
    (row,) = re.findall(r"store's `maxmemory` \| ([\d.]+) GB \| ([\d.]+) GB", guide.GUIDE.read_text())
    small = maxmemory(n=1, b=2048, o=6 * 3600, BODY_RETENTION_HOURS=24, DECISION_RETENTION_DAYS=14)
    medium = maxmemory(n=20, b=2048, o=2 * 3600, BODY_RETENTION_HOURS=6, DECISION_RETENTION_DAYS=2)
    assert [float(size) for size in row] == [pytest.approx(small, rel=0.1), pytest.approx(medium, rel=0.1)]
    assert math.ceil(200 / (0.6 * 1500)) + 1 == math.ceil(20 / (0.6 * 200)) + 1 == 2
    assert round(20 * 7200 / (2 * 200 - 20) / 60) == 6
    assert round(1 * 21_600 / (2 * 200 - 1) / 60) == 1
