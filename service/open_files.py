"""Open files: check that the process can open one more. Without one, new connections are closed without a response.

The event loop closes them by itself and reports nothing, so that this check is the only sign.
"""

import asyncio
import errno
import os
import resource
import time

from service.log import get_logger
from service.metrics.families import FILES_EXHAUSTED

INTERVAL_SECONDS = 0.5
REMINDER_SECONDS = 60.0
"""Interval of log lines while no file can be opened. Alerts use the metric."""

FIX = (
    "raise the limit of open files (ulimit -n, LimitNOFILE=), or find what holds them: ls -l /proc/PID/fd; "
    "new connections are closed until then"
)


async def watch_open_files() -> None:
    """Open and close a file twice a second, until cancelled. Log and count when that is not possible."""
    log, reminder_due = get_logger(), 0.0
    while True:
        if is_exhausted():
            FILES_EXHAUSTED.inc()
            if time.monotonic() >= reminder_due:
                reminder_due = time.monotonic() + REMINDER_SECONDS
                log.error("files.exhausted", files_max=resource.getrlimit(resource.RLIMIT_NOFILE)[0], fix=FIX)
        await asyncio.sleep(INTERVAL_SECONDS)


def is_exhausted() -> bool:
    """Return whether the process or the system has no file descriptor left."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno in {errno.EMFILE, errno.ENFILE}
    return False
