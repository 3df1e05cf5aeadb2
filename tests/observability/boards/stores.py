"""A real Prometheus that scrapes an installation, and a real VictoriaLogs with its lines."""

import subprocess
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import msgspec
import yaml

from tests.free_ports import find_free_ports
from tests.observability.material import Line
from tests.waiting import PATIENCE_SECONDS

SCRAPE_SECONDS = 2
REQUEST_SECONDS_MAX = 30.0
Targets = Mapping[str, str]
"""Address by name of the pod."""


@contextmanager
def open_prometheus(folder: Path, targets: Targets) -> Generator[str]:
    """Start Prometheus on the metrics pages of these pods. Return its URL."""
    pages = [{"targets": [address], "labels": {"namespace": "shop", "pod": pod}} for pod, address in targets.items()]
    every = {"scrape_interval": f"{SCRAPE_SECONDS}s", "scrape_timeout": f"{SCRAPE_SECONDS}s"}
    config = {"global": every, "scrape_configs": [{"job_name": "waybill", "static_configs": pages}]}
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    (port,) = find_free_ports(1)
    options = [
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with _open_server(["prometheus", *options], f"http://127.0.0.1:{port}", "/-/ready") as url:
        yield url


@contextmanager
def open_victorialogs(folder: Path, binary: str) -> Generator[str]:
    """Start VictoriaLogs. Return its URL."""
    (port,) = find_free_ports(1)
    options = [f"-storageDataPath={folder / 'logs'}", f"-httpListenAddr=127.0.0.1:{port}", "-retentionPeriod=100y"]
    with _open_server([binary, *options], f"http://127.0.0.1:{port}", "/health") as url:
        yield url


@contextmanager
def _open_server(command: Sequence[str], url: str, path: str) -> Generator[str]:
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not _answers(url + path):
            if server.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError(f"{command[0]} does not answer at {url}")
            time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(PATIENCE_SECONDS)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=1):  # noqa: S310 - our own server
            return True
    except (URLError, OSError):
        return False


def insert_lines(url: str, lines: Sequence[Line]) -> None:
    """Insert lines into VictoriaLogs with the labels of a collector, and wait until all are found."""
    labels = {"namespace": "shop", "app": "waybill"}
    fields = {"_stream_fields": "namespace,app", "_time_field": "timestamp", "_msg_field": "message"}
    body = b"\n".join(msgspec.json.encode(labels | line) for line in lines)
    headers = {"Content-Type": "application/json"}
    with urlopen(Request(f"{url}/insert/jsonline?{urlencode(fields)}", body, headers), timeout=REQUEST_SECONDS_MAX):  # noqa: S310 - our own server
        pass
    deadline = time.monotonic() + PATIENCE_SECONDS
    while count_lines(url) < len(lines):
        if time.monotonic() > deadline:
            raise TimeoutError("VictoriaLogs does not return all inserted lines")
        time.sleep(0.1)


def count_lines(url: str) -> int:
    """Return the number of lines by their labels, which VictoriaLogs indexes last."""
    rows = result_of(ask(f"{url}/select/logsql/stats_query", query='{app="waybill"} | stats count() n'))
    return int(rows[0]["value"][1]) if rows else 0


def ask(url: str, **form: object) -> bytes:
    """Send a query. Return the body of the response."""
    with urlopen(url, urlencode(form).encode(), timeout=REQUEST_SECONDS_MAX) as answer:  # noqa: S310 - our own server
        return answer.read()


def result_of(answer: bytes) -> list[dict[str, Any]]:
    """Return the series of a response in the format of Prometheus."""
    return msgspec.json.decode(answer)["data"]["result"]


def ordered(lines: Iterable[Line]) -> list[Line]:
    """Return the lines in the order of their timestamps."""
    return sorted(lines, key=lambda line: str(line["timestamp"]))
