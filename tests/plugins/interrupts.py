"""Plugin that lets Ctrl-C end the processes of tests in a run that a shell started in the background.

Such a shell ignores SIGINT for its job, and every process inherits that: `waybill dev` would not stop.
"""

import signal

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
