"""What a training board keeps of a run: a bounded number of points, and the time that is left."""

import math
from collections import deque

import numpy as np

BUCKETS = 200


class Thinned:
    """Points (step, value) in the order of their steps, at most 602 however many are added.

    Neighbouring points share a bucket, of which the lowest and the highest finite value and the
    first value that is not finite (as NaN) stay. When all buckets are full, pairs of them become
    one. The first point and the last always stay, so no extreme of the run is ever lost.
    """

    def __init__(self):
        self._buckets: list[_Bucket] = []
        self._capacity = 1
        self.first: tuple[int, float] | None = None
        self.last: tuple[int, float] | None = None

    def __bool__(self) -> bool:
        return self.last is not None

    def add(self, step: int, value: float) -> None:
        """Add a point; its step lies beyond all others."""
        # NaN and the infinities, which no axis has a place for, are gaps.
        point = step, value if value - value == 0 else math.nan
        if self.first is None:
            self.first = point
        self.last = point
        if not self._buckets or self._buckets[-1].count == self._capacity:
            if len(self._buckets) == BUCKETS:
                self._merge()
            self._buckets.append(_Bucket())
        self._buckets[-1].add(point)

    def _merge(self) -> None:
        pairs = zip(self._buckets[::2], self._buckets[1::2], strict=True)
        self._buckets = [one.merged(other) for one, other in pairs]
        self._capacity *= 2

    def rewind(self, step: int) -> None:
        """Forget every point from this step on."""
        if not self or self.last[0] < step:
            return
        kept = [point for point in self.points() if point[0] < step]
        for bucket in self._buckets:
            bucket.rewind(step)
        self._buckets = [bucket for bucket in self._buckets if bucket.points()]
        self.first, self.last = (kept[0], kept[-1]) if kept else (None, None)
        if not kept:
            self._capacity = 1

    def points(self) -> list[tuple[int, float]]:
        """What is left of all points, in order."""
        kept = dict(point for bucket in self._buckets for point in bucket.points())
        kept |= dict(point for point in (self.first, self.last) if point is not None)
        return sorted(kept.items())

    def packed(self) -> bytes:
        """The number of points and their steps as little-endian uint32, and the values, float32."""
        points = self.points()
        steps = np.array([len(points), *(step for step, _ in points)], "<u4")
        with np.errstate(over="ignore"):  # beyond float32 is beyond every picture
            values = np.array([value for _, value in points], "<f8").astype("<f4")
        return steps.tobytes() + values.tobytes()


class _Bucket:
    """Neighbouring points: their lowest, their highest, and the first that is no number."""

    __slots__ = ("count", "gap", "high", "low")

    def __init__(self):
        self.count = 0
        self.low: tuple[int, float] | None = None
        self.high: tuple[int, float] | None = None
        self.gap: tuple[int, float] | None = None

    def add(self, point: tuple[int, float]) -> None:
        self.count += 1
        value = point[1]
        if value != value:
            self.gap = self.gap or point
            return
        if self.low is None or value < self.low[1]:
            self.low = point
        if self.high is None or value > self.high[1]:
            self.high = point

    def points(self) -> list[tuple[int, float]]:
        return [point for point in (self.low, self.high, self.gap) if point is not None]

    def merged(self, other: "_Bucket") -> "_Bucket":
        result = _Bucket()
        for point in (*self.points(), *other.points()):
            result.add(point)
        result.count = self.count + other.count
        return result

    def rewind(self, step: int) -> None:
        for name in ("low", "high", "gap"):
            point = getattr(self, name)
            if point is not None and point[0] >= step:
                setattr(self, name, None)


class TimeLeft:
    """The seconds a run still needs, if it goes on as in its last part.

    The last part is the last quarter of its time, and 5 seconds at least.
    """

    def __init__(self):
        self._marks: deque[tuple[float, float]] = deque()  # seconds gone, share done
        self._latest = (0.0, 0.0)

    def add(self, elapsed: float, progress: float) -> None:
        """Note how much of the run (0 to 1) is done after so many seconds."""
        if self._marks and (elapsed < self._latest[0] or progress < self._latest[1]):
            self._marks.clear()  # the run began anew
        self._latest = elapsed, progress
        if not self._marks or elapsed - self._marks[-1][0] >= max(0.2, elapsed / 100):
            self._marks.append(self._latest)
            begin = elapsed - max(5.0, elapsed / 4)
            while len(self._marks) > 1 and self._marks[1][0] <= begin:
                self._marks.popleft()

    def seconds(self) -> float | None:
        """None until a second of the run shows how quick it is."""
        if not self._marks:
            return None
        gone = self._latest[0] - self._marks[0][0]
        done = self._latest[1] - self._marks[0][1]
        if gone < 1 or done <= 0:
            return None
        return max(0.0, 1 - self._latest[1]) * gone / done
