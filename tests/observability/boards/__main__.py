"""Write a picture of each dashboard: `python -m tests.observability.boards [--seconds N] [FOLDER]`.

A real installation is scraped by a real Prometheus, and a real VictoriaLogs has its log lines. The panel components of
Grafana draw the results of the panels' queries in Chromium. VICTORIALOGS names the binary.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import msgspec

from tests.observability.boards.frames import Json, Window, board_frames
from tests.observability.boards.page import draw, install
from tests.observability.boards.stores import insert_lines, open_prometheus, open_victorialogs, ordered
from tests.observability.boards.traffic import Traffic, open_installation
from tests.observability.material import Line, read_lines

SECONDS = 120
END_SECONDS = 6
"""Time for the last attempts and scrapes."""


def main() -> None:
    """Run the traffic and draw the dashboards."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--install", action="store_true", help="install the packages of Grafana only")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("docs/images"))
    arguments = parser.parse_args()
    install()
    if arguments.install:
        return
    binary = os.environ.get("VICTORIALOGS", ".venv/share/victorialogs/victoria-logs")
    if not Path(binary).exists():
        raise SystemExit(f"no VictoriaLogs at {binary}: run .ci/run victorialogs, or name the binary in VICTORIALOGS")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="wb-", ignore_cleanup_errors=True) as name:
        for board, frames in collect(Path(name), binary, arguments.seconds).items():
            draw(frames, arguments.folder / f"board-{board}.webp")


def collect(folder: Path, binary: str, seconds: int) -> dict[str, Json]:
    """Run the traffic, and return the values of the panels of each dashboard."""
    with open_installation(folder) as (stack, workers):
        started = [next(line for line in child.lines() if line["message"] == "process.started") for child in workers]
        targets = {"waybill-service-0": stack.admin_url.removeprefix("http://")}
        targets |= {
            f"waybill-workers-{number}": f"127.0.0.1:{line['admin_port']}" for number, line in enumerate(started)
        }
        with open_prometheus(folder, targets) as url:
            begin = int(time.time())
            Traffic(stack).run(seconds)
            time.sleep(END_SECONDS)
            window = Window(begin, int(time.time()), "")
            metrics = board_frames("metrics", url, window)
        outputs = [child.output for child in (stack.ingress, *workers)]
    lines = ordered(line for output in outputs for line in read_lines(output.read_bytes()))
    with open_victorialogs(folder, binary) as url:
        insert_lines(url, lines)
        logs = board_frames("victorialogs", url, msgspec.structs.replace(window, event_id=interesting_event(lines)))
    return {"metrics": metrics, "logs": logs}


def interesting_event(lines: list[Line]) -> str:
    """Return the id of the matched event with the most lines."""
    counts: dict[str, int] = {}
    for line in lines:
        if event_id := line.get("event_id"):
            counts[event_id] = counts.get(event_id, 0) + 1
    return max(counts, key=lambda event_id: counts[event_id])


if __name__ == "__main__":
    main()
