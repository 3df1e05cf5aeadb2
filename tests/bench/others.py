"""Sides with separate installations: Celery in a venv, BullMQ on Node.

`python -m tests.bench.others` installs BullMQ, `make bench` both. A side that is not installed is reported on stderr
and above the table.
"""

import json
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

from tests.bench.clock import family_cpu_seconds
from tests.bench.material import delivery_body
from tests.bench.stage import MEASURED, Child, Stage, free_port, wait_until_listening
from tests.senders.npm import NODE, NPM

CELERY = "FastAPI + Celery"
BULLMQ = "Fastify + BullMQ"

BUDGETS = {CELERY: 0.0, BULLMQ: 1.0}
"""How many times as fast ours should be; 0: shown for comparison."""

PYTHON = Path(".venv/share/bench/bin/python")
HERE = Path(__file__).parent / "bullmq"
INSTALL_SECONDS_MAX = 300
CONCURRENCY = 100
WARM_PERCENT = 40
"""Share of the jobs of BullMQ that run before the measurement begins."""

PROCESSES = 4
WORK_SECONDS_MAX = 120.0
POLL_SECONDS = 0.01


@cache
def installed() -> tuple[str, ...]:
    """Return the installed sides, and report the others on stderr."""
    reasons = {CELERY: _celery_missing(), BULLMQ: _bullmq_missing()}
    for rival, reason in reasons.items():
        if reason:
            sys.stderr.write(f"\n*** {rival} WAS NOT RUN: {reason}\n\n")
    return tuple(rival for rival, reason in reasons.items() if not reason)


def _celery_missing() -> str:
    try:
        subprocess.run([PYTHON, "-c", "import celery, fastapi"], check=True, capture_output=True)
    except (OSError, subprocess.SubprocessError):
        return f"{PYTHON} has no Celery; `make bench` installs requirements/bench.txt there"
    return ""


def _bullmq_missing() -> str:
    try:
        install_bullmq()
    except (OSError, subprocess.SubprocessError) as error:
        return f"its packages could not be installed ({type(error).__name__}; what npm says stands above)"
    return ""


def install_bullmq() -> None:
    """Install the packages of package-lock.json with their digests, unless installed."""
    installed, lock = HERE / "node_modules" / ".package-lock.json", HERE / "package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    options = ["--omit-lockfile-registry-resolved", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run([NODE, NPM, "ci", *options], cwd=HERE, check=True, timeout=INSTALL_SECONDS_MAX)


def versions() -> str:
    """Return the versions of the installed sides, and the names of the others."""
    parts = [f"{rival} WAS NOT RUN" for rival in BUDGETS if rival not in installed()]
    if CELERY in installed():
        names = ("celery", "fastapi", "redis", "requests")
        code = f"from importlib.metadata import version; print(*(f'{{n}} {{version(n)}}' for n in {names}), sep=', ')"
        parts.append(subprocess.run([PYTHON, "-c", code], check=True, capture_output=True, text=True).stdout.strip())
    if BULLMQ in installed():
        node = subprocess.run([NODE, "--version"], check=True, capture_output=True, text=True).stdout.strip()
        wanted: dict[str, str] = json.loads((HERE / "package.json").read_text())["dependencies"]
        parts.append(f"Node {node}, " + ", ".join(f"{name} {version}" for name, version in wanted.items()))
    return "; ".join(parts)


def serve(stage: Stage, rival: str, core: int | None) -> Child:
    """Start the ingress of a side and wait until it listens."""
    port = free_port()
    if rival == CELERY:
        command = [str(PYTHON), "-m", "tests.bench.rival_celery", "serve", str(port)]
    else:
        command = [str(NODE), str(HERE / "ingress.mjs"), str(port)]
    return wait_until_listening(stage.start(command, core, stage.environ(), subprocess.DEVNULL), port)


def seed(stage: Stage, rival: str, jobs: int) -> None:
    """Empty the store and fill the queue of a side."""
    stage.clear()
    if rival == CELERY:
        command = [str(PYTHON), "-m", "tests.bench.rival_celery", "seed", str(jobs)]
    else:
        command = [str(NODE), str(HERE / "seed.mjs"), str(jobs), delivery_body("e-00000000", "po-00000000").decode()]
    child = stage.start(command, None, stage.environ(), subprocess.DEVNULL)
    if child.process.wait(INSTALL_SECONDS_MAX):
        raise RuntimeError(f"{rival} could not fill its queue")


def work(stage: Stage, rival: str, stub: str, jobs: int) -> dict[str, Any]:
    """Let one worker of a side empty its queue. Return its measurements without its start."""
    if rival == CELERY:
        return _work_celery(stage, stub) | {"jobs": jobs}
    before = jobs * WARM_PERCENT // 100
    command = [str(NODE), str(HERE / "worker.mjs"), str(jobs), stub, str(CONCURRENCY), str(before)]
    return stage.start(command, MEASURED, stage.environ(), subprocess.PIPE).result() | {"measured": jobs - before}


def _work_celery(stage: Stage, stub: str) -> dict[str, Any]:
    """Measure from the ready signal of the worker until no task is queued or unacknowledged."""
    options = ["--pool", "prefork", "--concurrency", str(PROCESSES), "--loglevel", "WARNING"]
    options += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    environ = {**stage.environ(), "BENCH_STUB": stub, "PYTHONWARNINGS": "ignore"}  # it dislikes root
    command = [str(PYTHON), "-m", "celery", "--quiet", "-A", "tests.bench.rival_celery", "worker", *options]
    child = stage.start(command, MEASURED, environ, subprocess.PIPE)
    lines = iter(child.process.stdout.readline, "") if child.process.stdout else iter(())
    began = next((float(line.split()[1]) for line in lines if line.startswith("ready ")), 0.0)
    if not began:
        raise RuntimeError("Celery's worker did not start")
    quiet, spent = 0, family_cpu_seconds(child.process.pid)
    while quiet < 2 and time.monotonic() < began + WORK_SECONDS_MAX:
        time.sleep(POLL_SECONDS)
        quiet = 0 if stage.redis.exists("celery", "unacked") else quiet + 1  # a list or hash is gone when it is empty
    seconds = time.monotonic() - began - quiet * POLL_SECONDS
    spent = family_cpu_seconds(child.process.pid) - spent
    child.stop()
    return {"seconds": seconds, "cpu_seconds": spent}


if __name__ == "__main__":
    install_bullmq()
