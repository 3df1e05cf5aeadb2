"""Data of a shape that is not ours to say: what JSON and YAML hold before somebody reads it into a struct."""

from typing import Any

JsonValue = Any
"""Text, numbers, true, false, None, and lists and dicts of these."""
