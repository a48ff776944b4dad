"""The time of day."""

import time


class SystemClock:
    now = staticmethod(time.time)
