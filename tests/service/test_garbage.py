"""Garbage collection in a process of its own: no long pass over a large record, and old cycles are freed."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

PRELUDE = """
import asyncio, gc, weakref
from service.garbage import GARBAGE_ALLOCATIONS_MIN, tune_garbage_collector
from service.garbage_collection import collect_old_objects
from service.platforms.api.decoding import decode_body

class Node:
    pass

def make_cycle():
    node = Node()
    node.itself = node
    return weakref.ref(node)

tune_garbage_collector()
"""
LARGE = """
passes = []
gc.callbacks.append(lambda phase, info: passes.append(info["generation"]) if phase == "start" else None)
members = ",".join(f'"k{number}":{{"a":1,"b":[1,2]}}' for number in range(300_000))
data = decode_body(b"{" + members.encode() + b"}", 200)
assert len(data) == 300_000
assert len(passes) > 5, passes
assert set(passes) == {0}, passes
"""
CYCLES = """
cycle = make_cycle()
kept = [[] for _ in range(2 * GARBAGE_ALLOCATIONS_MIN)]  # collects new objects twice: the next cycle is an old object
old = Node()
old.itself = old
gc.collect(0)
reference = weakref.ref(old)
del old
gc.collect(0)
assert cycle() is None
assert reference() is not None

async def main():
    task = asyncio.create_task(collect_old_objects(0.01))
    while reference() is not None:
        await asyncio.sleep(0.01)
    task.cancel()

asyncio.run(asyncio.wait_for(main(), 60))
"""


def run_python(program: str) -> None:
    subprocess.run([sys.executable, "-c", PRELUDE + program], check=True)


def test_no_pass_over_old_objects_interrupts_the_decoding_of_a_large_record() -> None:
    run_python(LARGE)


def test_cycles_of_old_objects_are_freed_by_the_background_task() -> None:
    run_python(CYCLES)
