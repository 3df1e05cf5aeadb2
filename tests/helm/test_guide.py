"""Values and commands of docs/how-to/kubernetes.md are valid, and each command is tested or listed as not tested."""

import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from msgspec import structs

from service.settings import load_settings
from tests.capacity import maxmemory_gb
from tests.helm import guide
from tests.helm.readme import read_rows
from tests.helm.rendering import CommandFailed, helm, render_alone
from tests.helm.schema import CHART

pytestmark = pytest.mark.slow

ROOT = CHART.parent

SHELL = {
    "helm repo add": "not run: other projects' charts",
    "docker build": "not run: tests/image/build builds the same Dockerfile with buildah",
    "namespace shop": "tests/helm/check_apiserver.py",
    "vault kv put": "not run: another project's secret store",
    "generic waybill-pack": "tests/helm/check_apiserver.py",
    "helm upgrade --install": "tests/helm/check_apiserver.py",
    "openssl dgst": "tests/image/live.py",
    "port-forward": "not run: the call itself is in tests/image/live.py",
    "namespace data": "not run: another project's chart",
    "get-master-addr-by-name": "tests/image/sentinels.py",
}
"""Every shell block by a unique text, and the test that runs it."""


def test_shell_blocks_are_listed() -> None:
    found = guide.blocks("sh")
    assert [[mark for mark in SHELL if mark in text] for text in found] == [[mark] for mark in SHELL]


def test_listed_tests_run_their_shell_block() -> None:
    for mark, where in SHELL.items():
        if not where.startswith("not run"):
            assert f'block("sh", "{mark}")' in (ROOT / where).read_text(), mark


def additions() -> list[str]:
    """Return the values in the guide beside those of the example, and the values on the page of the dashboards."""
    found = re.findall(r"(?ms)^ *```yaml\n(.*?)^ *```$", (guide.GUIDE.parent / "dashboards.md").read_text())
    assert len(found) == 1
    return [*(text for text in guide.blocks("yaml") if "image:" not in text), *found]


def test_values_of_the_example_installation_are_valid(tmp_path: Path) -> None:
    path = tmp_path / "values.yaml"
    path.write_text(guide.block("yaml", "image:").replace("sha256:…", guide.DIGEST))
    assert "0 chart(s) failed" in helm("lint", "--strict", CHART, "--values", path)
    objects = render_alone(guide.values())
    assert {"Job/rel-waybill-rules", "Ingress/rel-waybill", "ExternalSecret/waybill-pack"} <= objects.keys()


@pytest.mark.parametrize("additional", additions())
def test_additional_values_are_valid(additional: str) -> None:
    assert render_alone(merged(guide.values(), yaml.safe_load(additional)))


def test_unknown_values_are_rejected() -> None:
    with pytest.raises(CommandFailed):
        render_alone(merged(guide.values(), {"monitoring": {"dashbords": {}}}))


def merged(base: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """Merge values, like a second --values option."""
    merged_values = dict(base)
    for key, value in overrides.items():
        base_value = merged_values.get(key)
        both = isinstance(value, dict) and isinstance(base_value, dict)
        merged_values[key] = (
            merged(cast("dict[str, Any]", base_value), cast("dict[str, Any]", value)) if both else value
        )
    return merged_values


def test_waybill_check_accepts_configuration_and_rules(tmp_path: Path) -> None:
    objects = render_alone(guide.values())
    text: str = objects["ConfigMap/rel-waybill-config"]["data"]["waybill.yaml"]
    (tmp_path / "waybill.yaml").write_text(text.replace("/etc/waybill/rules/*/*.yaml", f"{tmp_path}/rules/*.yaml"))
    (tmp_path / "rules").mkdir()
    for name, rules in objects["ConfigMap/rel-waybill-rules"]["data"].items():
        (tmp_path / "rules" / name).write_text(rules)
    secrets = objects["ExternalSecret/waybill-pack"]["spec"]["data"]
    environ = {each["secretKey"]: "ab" * 32 for each in secrets} | {"WAYBILL_CONFIG": str(tmp_path / "waybill.yaml")}
    command = [str(Path(sys.executable).with_name("waybill")), "check"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environ)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rule      short-receipt  purchase_order" in done.stdout


def test_values_in_the_text_exist() -> None:
    rows = {row.path for row in read_rows()}
    tops = {path.split(".")[0] for path in rows}
    text = re.sub(r"(?ms)^```.*?^```$", "", guide.GUIDE.read_text())
    referenced = {word for word in re.findall(r"`([A-Za-z]+(?:\.[A-Za-z]+)+)[:=`]", text) if word.split(".")[0] in tops}
    assert len(referenced) > 20
    known = rows | {path.rsplit(".", count)[0] for path in rows for count in range(1, path.count(".") + 1)}
    assert sorted(referenced - known) == []


def test_settings_in_the_text_are_valid() -> None:
    """Check the settings of the sizing table."""
    written = re.search(r"`(\{body_retention_hours: .*?\})`", guide.GUIDE.read_text())
    assert written
    assert render_alone({**guide.values(), "settings": yaml.safe_load(written[1])})


@pytest.mark.parametrize(
    "path", sorted((ROOT / "docs" / "examples" / "cluster").glob("*.yaml")), ids=lambda path: path.name
)
def test_values_of_other_charts_are_valid_yaml_and_referenced(path: Path) -> None:
    assert yaml.safe_load(path.read_text())
    assert f"-f docs/examples/cluster/{path.name}" in guide.GUIDE.read_text()


def test_sizes_match_the_formulas_of_capacity() -> None:
    (row,) = re.findall(r"store's `maxmemory` \| ([\d.]+) GB \| ([\d.]+) GB", guide.GUIDE.read_text())
    (written,) = re.findall(r"`(\{body_retention_hours: .*?\})`", guide.GUIDE.read_text())
    own = structs.replace(load_settings({}), **yaml.safe_load(written))
    small = maxmemory_gb(load_settings({}), n=1, b=2048, o=6 * 3600, r=0.2)
    medium = maxmemory_gb(own, n=20, b=2048, o=2 * 3600, r=4)
    assert [float(size) for size in row] == [pytest.approx(small, rel=0.1), pytest.approx(medium, rel=0.1)]
    assert math.ceil(200 / (0.6 * 1500)) + 1 == math.ceil(20 / (0.6 * 200)) + 1 == 2
    assert round(20 * 7200 / (2 * 200 - 20) / 60) == 6
    assert round(1 * 21_600 / (2 * 200 - 1) / 60) == 1
