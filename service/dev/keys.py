"""Single keys from the terminal, without Enter."""

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Generator
from contextlib import contextmanager


class KeyReader:
    """Reads pressed keys. Without a descriptor no key is ever pressed."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    @property
    def available(self) -> bool:
        """Return whether keys can be pressed."""
        return self._descriptor is not None

    def read(self, timeout_seconds: float) -> str:
        """Return the next key, or an empty text after the timeout."""
        if self._descriptor is None:
            time.sleep(timeout_seconds)
            return ""
        if not select.select([self._descriptor], [], [], timeout_seconds)[0]:
            return ""
        pressed = os.read(self._descriptor, 1)
        if not pressed:  # the terminal was closed
            self._descriptor = None
        return pressed.decode("ascii", errors="ignore")


@contextmanager
def open_keys() -> Generator[KeyReader]:
    """Read keys from standard input if it is a terminal and this process is in its foreground. Restore it at the end.

    Ctrl-C and Ctrl-Z keep their meaning.
    """
    descriptor = sys.stdin.fileno() if sys.stdin and sys.stdin.isatty() else None
    # A process in the background would be stopped by the change of the terminal.
    if descriptor is None or os.tcgetpgrp(descriptor) != os.getpgrp():
        yield KeyReader(None)
        return
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor, termios.TCSANOW)
    try:
        yield KeyReader(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
