"""Long computations in a thread of their own, so that the event loop continues.

The interpreter switches between threads every 5 ms, but not inside a call of C code, such as decoding of JSON. Callers
divide large input of such calls. One thread runs one computation at a time; others wait.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

T = TypeVar("T")

LARGE_BYTES = 131_072
"""JSON above this size is decoded in the thread. Decoding and reading of a smaller one takes a few milliseconds."""

_EXECUTOR = ThreadPoolExecutor(1, "waybill-compute")


async def run_in_thread(compute: Callable[..., T], *arguments: object) -> T:
    """Run a pure function in the thread.

    Returns:
        The result of the function, or its exception is raised.
    """
    return await asyncio.get_running_loop().run_in_executor(_EXECUTOR, partial(compute, *arguments))
