"""The proof by faults: `python -m tests.chaos` sends numbered events while it breaks what it can, and counts losses."""
