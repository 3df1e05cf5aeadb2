"""Commands of the how-to page about clusters, on a real cluster."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.dev.embedded_valkey import get_binary_path
from tests.docs.page_steps import DOCS
from tests.free_ports import find_free_ports
from tests.valkey_cluster import Node, ValkeyCluster, running_cluster, wait_until

pytestmark = [pytest.mark.store, pytest.mark.slow]

PAGE = (DOCS / "how-to" / "run-on-a-cluster.md").read_text()
WAYBILL = Path(sys.executable).with_name("waybill")


@pytest.fixture(scope="module")
def cluster() -> Iterator[ValkeyCluster]:
    with running_cluster() as running:
        yield running


def test_a_server_starts_with_the_configuration_of_the_page(tmp_path: Path) -> None:
    (text,) = re.findall(r"```conf\n(.+?)```", PAGE, re.DOTALL)
    port, bus_port = find_free_ports(2)
    file = tmp_path / "valkey.conf"
    file.write_text(f"{text}\nport {port}\nbind 127.0.0.1\ncluster-port {bus_port}\ndir {tmp_path}\n")
    node = Node(tmp_path, port, bus_port)
    node.process = subprocess.Popen([str(get_binary_path()), str(file)], stdout=subprocess.DEVNULL)
    wait_until(node.answers)
    assert node.call("INFO", "cluster") == {"cluster_enabled": 1}
    node.kill()


def test_commands_of_the_page_move_slots(cluster: ValkeyCluster) -> None:
    move, state = (line.split() for line in re.findall(r"^redis-cli -h OLD (.+)$", PAGE, re.MULTILINE))
    source = cluster.primary_of(0)
    target = next(node for node in cluster.nodes if node.is_primary and node is not source)
    source.call(*(target.id if word == "ID_OF_THE_NEW_SERVER" else word for word in move))
    wait_until(lambda: b"success" in str(source.call(*state)).encode())
    wait_until(lambda: cluster.primary_of(0) is target)
    assert cluster.primary_of(1_364) is target
    assert cluster.primary_of(1_365) is source


def test_checks_of_the_page_report_each_shard(cluster: ValkeyCluster, tmp_path: Path) -> None:
    number = re.search(r"`WAYBILL_SHARDS=(\d+)`", PAGE)
    assert number is not None
    environ = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "WAYBILL_REDIS_URL": cluster.url,
        "WAYBILL_SHARDS": number[1], "WAYBILL_DURABILITY": "replica",
    }  # fmt: skip
    (block,) = re.findall(r"```sh\n( *waybill doctor\n.+?)```", PAGE, re.DOTALL)
    outputs = {
        command: subprocess.run(
            [WAYBILL, *command.split()[1:]], env=environ, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        for command in map(str.strip, block.splitlines())
        if command
    }
    assert set(outputs) == {"waybill doctor", "waybill store"}
    assert "write with durability replica\tok" in outputs["waybill doctor"].stdout
    assert re.search(rf"^shards +{number[1]}$", outputs["waybill store"].stdout, re.MULTILINE)
