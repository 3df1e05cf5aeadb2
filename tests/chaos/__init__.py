"""Fault-injection test: `python -m tests.chaos` sends numbered events, injects faults and counts losses."""
