"""Put this folder on the path, so that every test can say `from fakes import FixedClock`."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))

# The same examples in every run, whatever the load of the machine: no luck, no wall clock.
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")

# After the path is set: fixtures of servers that several folders use.
from postgres_servers import (  # noqa: E402
    _session_postgres,  # noqa: F401
    emptied_postgres,  # noqa: F401
    empty_postgres,  # noqa: F401
    postgres,  # noqa: F401
    postgres_address,  # noqa: F401
    postgres_template,  # noqa: F401
)
from strict_skips import pytest_make_collect_report, pytest_runtest_makereport  # noqa: E402, F401
