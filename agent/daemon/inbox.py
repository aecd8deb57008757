"""What people and the system ask of the daemon, left for the worker; safe from any thread and from signals."""

from __future__ import annotations

import os
import select
import time
import weakref
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from agent.daemon.heartbeat import Heartbeat
from agent.daemon.terms import Terms

if TYPE_CHECKING:
    from agent.daemon.activities.mark import Mark
    from agent.daemon.handed import Given

# poll(2) does not count the time for which the device was suspended. Who waits for longer looks at CLOCK_BOOTTIME in between.
_LONGEST_WAIT = 600.0  # seconds


class Stopped(Exception):
    """The daemon was told to stop; the work under way is resumed by the next start."""


class Cancelled(Exception):
    """The update under way was cancelled.

    Args:
        by_server: whether the server did it, or a person on the device.
        vanished: the server did not ask for anything: it does not offer the action any more (force-quit, closed
            elsewhere, given another bundle under the same id).
    """

    def __init__(self, *, by_server: bool, vanished: bool = False) -> None:
        super().__init__()
        self.by_server = by_server
        self.vanished = vanished


class Consent(NamedTuple):
    """What somebody on the device says to an action that waits for it."""

    action_id: str
    approved: bool
    reason: str = ""
    now: bool = False  # without waiting for a better time


class HasFileno(Protocol):
    """Something that ``select`` can wait for."""

    def fileno(self) -> int:
        """The descriptor."""
        ...


class Inbox:
    """Requests, and a descriptor that becomes readable when there is a new one.

    Args:
        heartbeat: of the worker that waits here.
    """

    def __init__(self, heartbeat: Heartbeat | None = None) -> None:
        self.heartbeat = heartbeat or Heartbeat()
        self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        weakref.finalize(self, os.close, self._event)
        self._stop = False
        self._check = False
        self._cancel = False
        self._install: tuple[str, Terms] | None = None
        self._given: Given | None = None
        self._scrub: tuple[str, int] | None = None
        self._consent: Consent | None = None
        self._look = False
        self._mark: Mark | None = None

    def stop(self) -> None:
        """Ends the worker at its next wait."""
        self._stop = True
        self._ring()

    def stopping(self) -> bool:
        """Whether the worker is to end: for work that no exception can interrupt, and whose each look is a sign of life."""
        self.heartbeat.beat()
        return self._stop

    def check(self) -> None:
        """Asks the server now instead of at the planned time."""
        self._check = True
        self._ring()

    def cancel(self) -> None:
        """Gives up the update under way, if it still can be."""
        self._cancel = True
        self._ring()

    def install(self, path: str, terms: Terms | None = None) -> None:
        """Installs a local bundle; ``path`` is absolute."""
        self._install = (path, terms or Terms())
        self._ring()

    def install_given(self, given: Given) -> None:
        """Installs a bundle that was handed over as an open file."""
        self._given = given
        self._ring()

    def scrub(self, slot: str, number: int) -> None:
        """Reads slots back: one slot, one boot name, or all with an empty text; ``number`` tells one scrub from another."""
        self._scrub = (slot, number)
        self._ring()

    def consent(self, answer: Consent) -> None:
        """Lets an action begin that waits for consent, or does not; the last word counts."""
        self._consent = answer
        self._ring()

    def look_again(self) -> None:
        """Something that an update may wait for has changed: the policy, or how long it is postponed."""
        self._look = True
        self._ring()

    def mark(self, wish: Mark) -> None:
        """Tells the bootloader about a slot; of several wishes at a time the others end as ``mark.late``."""
        self._mark = wish
        self._ring()

    def wait(self, seconds: float | None, sources: Iterable[HasFileno] = ()) -> list[HasFileno]:
        """Waits until something is readable, a request arrives, or the time is over; at most ten minutes unless for ever.

        Args:
            seconds: None waits for ever.
            sources: what else to wait for.

        Returns:
            The readable ones of ``sources``.

        Raises:
            Stopped: the daemon must end.
        """
        wanted = list(sources)
        return self._wait(seconds, wanted, owed=bool(wanted))

    def listen(self, seconds: float | None, source: HasFileno) -> bool:
        """As ``wait``, for something that may be silent for ever; returns whether it has spoken."""
        return bool(self._wait(seconds, [source], owed=False))

    def _wait(self, seconds: float | None, wanted: list[HasFileno], *, owed: bool) -> list[HasFileno]:
        if self._stop:
            raise Stopped
        poll = select.poll()
        for item in (self, *wanted):
            poll.register(item.fileno(), select.POLLIN)
        limit = None if seconds is None else min(max(0.0, seconds), _LONGEST_WAIT)
        if not owed:
            self.heartbeat.rest(limit)
        ready = {fd for fd, _ in poll.poll(None if limit is None else limit * 1000)}
        if ready or not owed:
            self.heartbeat.beat()
        if self._event in ready:
            os.eventfd_read(self._event)
        if self._stop:
            raise Stopped
        return [item for item in wanted if item.fileno() in ready]

    def patient(self, seconds: float) -> AbstractContextManager[None]:
        """Within the block the sources of ``wait`` may be silent for so many seconds before the worker counts as stuck."""
        return self.heartbeat.patient(seconds)

    def await_one(self, source: HasFileno, seconds: float) -> None:
        """Waits until something is readable, or the time is over; raises Stopped when the daemon must end."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self.wait(left, (source,)):
            pass

    def pause(self, seconds: float) -> None:
        """Lets time pass, all of it; raises Stopped when the daemon must end."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.wait(left)

    def fileno(self) -> int:
        """The bell."""
        return self._event

    def take_check(self) -> bool:
        """Whether a check was asked for since the last call."""
        if self._check:  # False is not written back: the other thread may just be setting it
            self._check = False
            return True
        return False

    def cancel_asked(self) -> bool:
        """Whether a cancellation is waiting to be taken."""
        return self._cancel

    def take_cancel(self) -> bool:
        """Whether a cancellation was asked for since the last call."""
        if self._cancel:
            self._cancel = False
            return True
        return False

    def take_install(self) -> tuple[str, Terms] | None:
        """The path of a bundle to install, and on what terms, once; None when nobody has asked."""
        asked = self._install
        if asked is not None:  # None is not written back: the other thread may just be putting something there
            self._install = None
        return asked

    def take_given(self) -> Given | None:
        """The file that was handed over, once; None when there is none."""
        given = self._given
        if given is not None:  # as above
            self._given = None
        return given

    def take_scrub(self) -> tuple[str, int] | None:
        """What to read back, and the number of the scrub, once; None when nobody has asked."""
        asked = self._scrub
        if asked is not None:  # as above
            self._scrub = None
        return asked

    def take_consent(self) -> Consent | None:
        """What somebody has said to an action, once; None when nobody has said anything."""
        said = self._consent
        if said is not None:  # as above
            self._consent = None
        return said

    def take_look(self) -> bool:
        """Whether something that an update may wait for has changed since the last call."""
        if self._look:
            self._look = False
            return True
        return False

    def take_mark(self) -> Mark | None:
        """What the bootloader shall be told, once."""
        wish = self._mark
        if wish is not None:  # as above
            self._mark = None
        return wish

    def asked(self) -> bool:
        """Whether a check, an installation, a scrub or somebody's consent is waiting to be taken."""
        waiting = (self._scrub, self._consent, self._mark)
        return self._check or self.install_asked() or any(each is not None for each in waiting)

    def anything(self) -> bool:
        """Whether anything at all is waiting to be taken, or the worker is to end."""
        return self.asked() or self._cancel or self._stop

    def spoken_to(self) -> bool:
        """Whether a check, a cancellation, somebody's consent or news is waiting: what an update that waits can be told."""
        return self._check or self._cancel or self._consent is not None or self._look

    def install_asked(self) -> bool:
        """Whether a bundle is waiting to be taken."""
        return self._install is not None or self._given is not None

    def _ring(self) -> None:
        os.eventfd_write(self._event, 1)
