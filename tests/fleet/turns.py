"""Devices take turns: each has a thread and a clock that only moves when all of them wait.

A device runs until its daemon waits; then the next whose time has come runs. So a night of polling takes no longer than
its requests, and what happens does not depend on how fast this machine is. A server that needs real seconds for its own
work (hawkBit's scheduler of rollouts) gets them: ``pace`` says how many seconds of the devices may pass in one of its.
"""

from __future__ import annotations

import heapq
import itertools
import queue
import threading
import time
from collections.abc import Callable

_TICK = 1e-6  # seconds: a wait for less than the clock can tell would be one for ever


class Ended(BaseException):
    """Everything ends. Not an Exception: the daemon must not take it for a failure of its work."""


class _Seat:
    """One thread in the round."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work
        self.go = threading.Semaphore(0)
        self.due = 0.0
        self.error: BaseException | None = None


class Turns:
    """The clock of a fleet and the order in which its devices run.

    Args:
        pace: seconds that pass on the devices in one real second, at most; 0 for no limit.
        at_once: how many devices may run at the same time; with 1 everything is repeatable.
    """

    def __init__(self, pace: float = 0.0, at_once: int = 1) -> None:
        self.began = time.time()
        self.now = 0.0
        self._pace, self._at_once = pace, at_once
        self._real = time.monotonic()
        self._ended = False
        self._here = threading.local()
        self._waiting: list[tuple[float, int, _Seat | Callable[[], bool]]] = []
        self._number = itertools.count()
        self._back: queue.SimpleQueue[_Seat] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def add(self, work: Callable[[], None], after: float = 0.0) -> None:
        """Gives a device a seat; ``work`` is its whole life, and begins after so many seconds."""
        seat = _Seat(work)
        seat.due = self.now + after
        thread = threading.Thread(target=self._sit, args=(seat,), daemon=True)
        self._threads.append(thread)
        thread.start()
        self._queue(seat.due, seat)

    def wait(self, seconds: float) -> None:
        """Called by a device: it is somebody else's turn until then."""
        seat: _Seat = self._here.seat
        seat.due = self.now + max(_TICK, seconds)
        self._back.put(seat)
        seat.go.acquire()
        if self._ended:
            raise Ended

    def run(self, look: Callable[[], bool], every: float, most: float) -> None:
        """Lets the devices live until ``look`` is content.

        Args:
            look: asked while all devices wait; may do what an operator does.
            every: seconds of the devices between two looks.
            most: seconds of the devices after which it is a failure.

        Raises:
            AssertionError: it took too long, or all devices have ended before.
            BaseException: what ended a device that should not end.
        """
        end = self.now + most
        self._real, start = time.monotonic(), self.now
        self._queue(self.now + every, look)
        running = 0
        while True:
            while running < self._at_once and self._waiting:
                due, _, who = self._waiting[0]
                if running and (due > self.now or not isinstance(who, _Seat)):
                    break  # whoever still runs may come back sooner
                self._advance(due, start)
                heapq.heappop(self._waiting)
                if isinstance(who, _Seat):
                    running += 1
                    who.go.release()
                elif who == look and look():
                    return
                elif self.now > end:
                    raise AssertionError(f"not within {most:g} s of the devices' time")
                elif who == look:
                    self._queue(self.now + every, look)
            if not running:
                raise AssertionError("no device is left")
            seat = self._back.get()
            running -= 1
            if seat.error is not None:
                raise seat.error
            if seat.due >= 0:
                self._queue(seat.due, seat)

    def end(self) -> None:
        """Ends all devices where they wait."""
        self._ended = True
        for _, _, who in self._waiting:
            if isinstance(who, _Seat):
                who.go.release()
        for thread in self._threads:
            thread.join(20)

    def _queue(self, due: float, who: _Seat | Callable[[], bool]) -> None:
        heapq.heappush(self._waiting, (due, next(self._number), who))

    def _advance(self, due: float, start: float) -> None:
        if due <= self.now:
            return
        if self._pace:
            ahead = (due - start) / self._pace - (time.monotonic() - self._real)
            if ahead > 0:
                time.sleep(ahead)
        self.now = due

    def _sit(self, seat: _Seat) -> None:
        seat.go.acquire()
        self._here.seat = seat
        if self._ended:
            return
        try:
            seat.work()
        except Ended:
            return
        except BaseException as error:  # noqa: BLE001  raised again where it is seen
            seat.error = error
        seat.due = -1.0
        if not self._ended:
            self._back.put(seat)


class Alone:
    """The clock of a single device that needs no turns: waiting moves it at once."""

    def __init__(self) -> None:
        self.began = time.time()
        self.now = 0.0

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now += max(_TICK, seconds)


class DeviceClock:
    """The clocks of one device, see ``agent.clock.Clock``.

    Args:
        time: the fleet's, or its own.
        synchronised: whether it has heard from a time server since it was switched on.
    """

    def __init__(self, time: Turns | Alone, *, synchronised: bool) -> None:
        self._time, self._synchronised = time, synchronised
        self._booted = 0.0

    def boot(self) -> None:
        """A reset: the time since the boot starts again."""
        self._booted = self._time.now - 10.0  # what ran before the agent was started

    def boottime(self) -> float:
        return self._time.now - self._booted

    def wall(self) -> float:
        """A device that nobody has told the time believes in 1970."""
        return self._time.began + self._time.now if self._synchronised else self.boottime()

    def synchronised(self) -> bool:
        return self._synchronised
