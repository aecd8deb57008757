"""The U-Boot environment, shared with fw_setenv and with U-Boot itself.

A change is written to the copy that does *not* count, and is read back. Until that write is complete and its checksum is
right, U-Boot takes the other copy: a power cut leaves the old environment. In NOR flash the old copy is marked obsolete after
that; whether a cut between the two leaves the old or the new environment depends on which copy is the first. The whole
read-change-write runs under the lock that libubootenv and U-Boot's tools take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bootloader_env import media
from bootloader_env import uboot_format as fmt
from bootloader_env.errors import BootEnvError, io_failed
from bootloader_env.fwenv_config import Copy
from bootloader_env.lock import locked
from bootloader_env.media import Medium
from bootloader_env.order import Variables, effective
from bootloader_env.variables import Plan

DEFAULT_LOCK = "/var/lock/fw_printenv.lock"
LOCK_TIMEOUT = 10.0  # seconds; fw_setenv holds it for some milliseconds


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The copies as they were read, and which of them counts."""

    media: Sequence[Medium]
    scheme: fmt.Scheme
    number: int | None
    images: Sequence[fmt.Image | None]

    @property
    def image(self) -> fmt.Image:
        image = None if self.number is None else self.images[self.number]
        if image is None:
            raise BootEnvError(
                "bootenv.invalid",
                "no copy of the U-Boot environment is valid",
                details=f"{len(self.images)} read, all with a wrong checksum",
                resolution="check fw_env.config; on a new device let U-Boot write its environment once with saveenv",
            )
        return image


class UbootStore:
    """The variables of U-Boot. Implements ``variables.Store``.

    Args:
        copies: one or two, from ``fwenv_config.parse``.
        lock: the lock file of libubootenv.
        allow_single: accept an environment without a second copy, where a power cut during a write loses everything.
        lock_timeout: seconds to wait for other programs.
        open_medium: finds out what a copy lies on.

    Raises:
        BootEnvError: ``bootenv.not-redundant``.
    """

    def __init__(
        self,
        copies: tuple[Copy, ...],
        *,
        lock: str = DEFAULT_LOCK,
        allow_single: bool = False,
        lock_timeout: float = LOCK_TIMEOUT,
        open_medium: Callable[[Copy], Medium] = media.open_medium,
    ) -> None:
        if len(copies) < 2 and not allow_single:
            raise BootEnvError(
                "bootenv.not-redundant",
                "the U-Boot environment has only one copy",
                details="a power cut while it is written would leave none",
                resolution="enable CONFIG_ENV_REDUNDANT (older: CONFIG_SYS_REDUNDAND_ENVIRONMENT) in U-Boot and name "
                "both copies in fw_env.config; or set bootloader.allow-single-environment if that risk is accepted",
            )
        self._copies = copies
        self._lock = lock
        self._lock_timeout = lock_timeout
        self._open_medium = open_medium

    def load(self) -> Variables:
        """See Store."""
        with locked(self._lock, self._lock_timeout):
            return fmt.variables(self._load().image.entries)

    def update(self, plan: Plan) -> bool:
        """See Store; raises BootEnvError ``bootenv.invalid``, ``bootenv.full``, ``bootenv.io``, ``bootenv.write-failed``."""
        with locked(self._lock, self._lock_timeout):
            loaded = self._load()
            now = fmt.variables(loaded.image.entries)
            changes = effective(now, plan(now))
            if not changes:
                return False
            self._save(loaded, fmt.edited(loaded.image.entries, changes))
            return True

    def _load(self) -> _Loaded:
        with _storage("read"):
            places = tuple(self._open_medium(copy) for copy in self._copies)
            scheme = _common_scheme(places)
            images = self._images(places)
        return _Loaded(places, scheme, fmt.current(images, scheme), images)

    def _images(self, places: Sequence[Medium]) -> tuple[fmt.Image | None, ...]:
        return tuple(fmt.decode(place.read(), redundant=len(places) == 2) for place in places)

    def _save(self, loaded: _Loaded, entries: fmt.Entries) -> None:
        redundant = len(loaded.media) == 2
        number = int(redundant and loaded.number == 0)
        flags = fmt.next_flags(loaded.image.flags, loaded.scheme) if redundant else None
        block = fmt.encode(entries, self._copies[number].size, flags=flags)
        with _storage("write"):
            loaded.media[number].write(block)
            stored = loaded.media[number].read() == block
            if stored and redundant and loaded.scheme is fmt.Scheme.BOOLEAN:
                if loaded.image.flags != fmt.OBSOLETE:
                    loaded.media[1 - number].retire()
                stored = fmt.current(self._images(loaded.media), loaded.scheme) == number
        if not stored:
            raise BootEnvError(
                "bootenv.write-failed",
                "the U-Boot environment was not stored as it was written",
                details=f"{self._copies[number].device} at {self._copies[number].offset:#x}",
                resolution="the device may be worn out or write protected",
                retryable=True,
            )


def _common_scheme(places: Sequence[Medium]) -> fmt.Scheme:
    """How flags are used; a single copy has none. Copies on different kinds of media are refused, as by libubootenv."""
    if len(places) == 1:
        return fmt.Scheme.INCREMENTAL
    first, second = (place.span for place in places)
    if first.device == second.device and first.start < second.end and second.start < first.end:
        raise media.invalid(
            "a write of one copy would destroy the other: they overlap, or share an erase block or a volume"
        )
    scheme = places[0].scheme
    if places[1].scheme is not scheme:
        raise media.invalid("one copy is in NOR flash and the other is not")
    return scheme


@contextmanager
def _storage(verb: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise io_failed(f"the U-Boot environment cannot be {'written' if verb == 'write' else verb}", error) from error
