"""What waits for a reader that is slow, and when that is too much.

Where the source can be told to pause (TCP), a driver does so at `full` and goes on at
`drained`. Where it cannot, or where the reader takes nothing at all for `stalled_s`, the
session ends with a close that says so, before the memory does.
"""

from core.errors import RequestTimeoutError, TooLargeError
from core.relay.events import Frame
from core.relay.session import Limits


class Queue:
    """Frames for one side, in order, with their size."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._frames: list[Frame] = []
        self.size = 0
        """Characters of text and bytes of binary: within a factor of what memory they take."""
        self.taken_at: float | None = None
        """When the reader took something last, or when it was first kept waiting."""

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: Frame, now: float) -> None:
        if not self._frames:
            self.taken_at = now
        self._frames.append(frame)
        self.size += len(frame)

    def take_all(self, now: float) -> list[Frame]:
        """All that waits, oldest first."""
        frames, self._frames, self.size = self._frames, [], 0
        self.taken_at = now
        return frames

    def put_back(self, frames: list[Frame]) -> None:
        """Those that the reader did not get after all."""
        self._frames = [*frames, *self._frames]
        self.size += sum(len(frame) for frame in frames)

    @property
    def is_full(self) -> bool:
        limits = self._limits
        return self.size >= limits.buffered_bytes or len(self._frames) >= limits.buffered_frames

    @property
    def is_drained(self) -> bool:
        limits = self._limits
        return (
            self.size <= limits.buffered_bytes // 2
            and len(self._frames) <= limits.buffered_frames // 2
        )

    def overflow(self) -> TooLargeError | None:
        """For a source that cannot pause: the error to end the session with."""
        if not self.is_full:
            return None
        return TooLargeError(
            f"The client reads too slowly: {self.size} bytes in {len(self._frames)} frames wait."
        )

    def stall(self, now: float) -> RequestTimeoutError | None:
        """The error to end the session with, where the reader has taken nothing for too long."""
        if not self._frames or self.taken_at is None:
            return None
        if now - self.taken_at < self._limits.stalled_s:
            return None
        return RequestTimeoutError(
            f"The client has read nothing for {self._limits.stalled_s:.0f} seconds."
        )
