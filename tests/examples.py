"""The number of examples that a property test tries: all in CI, a tenth elsewhere."""

import os

from hypothesis import HealthCheck, settings

FEWEST = 5


def register_profiles() -> None:
    """Register the profiles `ci` and `local`, and load the one for this machine."""
    # A machine may be busy: no test fails for its time.
    settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    unhurried = settings.get_profile("unhurried")
    settings.register_profile("ci", unhurried, max_examples=100, derandomize=True, database=None, print_blob=True)
    settings.register_profile("local", unhurried, max_examples=10)
    settings.load_profile("ci" if os.environ.get("CI") else "local")


def examples(count: int) -> int:
    """Scale a number of examples, as it is in CI, to the profile in use."""
    return max(FEWEST, count * settings().max_examples // 100)
