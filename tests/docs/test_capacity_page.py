"""The tables of the capacity page follow from its formulas and the defaults of the settings."""

import re

import pytest

from tests.capacity import PAGE, maxmemory_gb, settings_of

EVENTS_PER_RECORD = 5
PART_OF_SERVER = 3 / 4
"""Part of a server's memory that is maxmemory. A rewrite of the append-only file needs the rest."""


@pytest.mark.parametrize("row", ["defaults", "shorter", "shortest"])
def test_rates_of_a_server_follow_from_the_formulas(row: str) -> None:
    ((text, of_16_gb, of_64_gb),) = re.findall(rf"(?m)^\| {row} \|(.*)\| ([\d,]+) \| ([\d,]+) \|$", PAGE.read_text())
    per_event_gb = maxmemory_gb(settings_of(text), n=1, b=2048, o=0, r=1 / EVENTS_PER_RECORD)
    rates = [int(gb * PART_OF_SERVER / per_event_gb) for gb in (16, 64)]
    assert [int(of_16_gb), int(of_64_gb)] == rates


def test_defaults_of_the_table_are_those_of_the_settings() -> None:
    settings = settings_of("")
    text = (
        f"{settings.decision_retention_days:g} days of decisions, {settings.body_retention_hours:g} hours of bodies, "
        f"{settings.last_state_retention_days:g} days of last states"
    )
    assert f"| defaults | {text} |" in PAGE.read_text()


def test_example_follows_from_the_formulas() -> None:
    (total,) = re.findall(r"1 event per second of 2 KiB,.*?so ([\d.]+) GB", PAGE.read_text().replace("\n", " "))
    computed = maxmemory_gb(settings_of(""), n=1, b=2048, o=6 * 3600, r=1 / EVENTS_PER_RECORD)
    assert float(total) == pytest.approx(computed, abs=0.05)
