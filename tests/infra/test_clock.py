"""The time of day."""

import time

from infra.clock import SystemClock


def test_the_clock_tells_unix_seconds():
    assert abs(SystemClock().now() - time.time()) < 5
