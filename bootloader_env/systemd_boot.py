"""systemd-boot with its boot counting: one entry for each slot, whose file has the boot name as its name.

A new slot gets an entry that sorts first and has a count of boots; the boot loader counts down and then puts it last.
``confirm`` takes the count away. The ESP is a FAT file system, where a rename may lose the file: a change is written to a
new file and synced before the old one is deleted, so that a cut leaves the entry twice rather than not at all.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from bootloader_env import efi_format
from bootloader_env import entry_format as fmt
from bootloader_env.efi_vars import EfiVars
from bootloader_env.errors import BootEnvError, io_failed
from bootloader_env.lock import locked
from bootloader_env.order import check_parts, checked_names
from bootloader_env.port import BootState, Capabilities, SlotBoot

LOCK_TIMEOUT = 10.0  # seconds
_MAX_ENTRY = 64 * 1024
_TEMPORARY = ".ota-agent.new"  # the boot loader ignores names that begin with a dot


class SystemdBootLoader:
    """Implements ``port.Loader``, which documents the methods.

    Args:
        entries: the directory ``loader/entries`` of the ESP or of the extended boot partition.
        bootnames: the slots that we manage.
        attempts: boots of a slot on trial.
        variables: of the firmware, where systemd-boot tells what it has booted.

    Raises:
        BootEnvError: ``bootenv.bootnames``.
    """

    def __init__(self, entries: str, bootnames: tuple[str, ...], *, attempts: int, variables: EfiVars) -> None:
        self._directory = Path(entries)
        self._bootnames = checked_names(bootnames)
        self._attempts = attempts
        self._variables = variables
        if len({name.casefold() for name in bootnames}) != len(bootnames):
            raise BootEnvError(
                "bootenv.bootnames", "the bootnames of the slots cannot be used", details=" ".join(bootnames),
                resolution="a FAT file system does not tell capital letters from small ones",
            )  # fmt: skip

    @property
    def capabilities(self) -> Capabilities:
        """See BootEnv."""
        return Capabilities(atomic=False, marker_inside=False, redundant=False, trial_attempts=self._attempts)

    def current(self) -> str:
        """See BootEnv."""
        data = self._variables.read("LoaderEntrySelected", efi_format.LOADER)
        name = fmt.decode_name(efi_format.decode_text(data)) if data else None
        stem = name.stem.casefold() if name else ""
        return next((each for each in self._bootnames if each.casefold() == stem), "")

    def read(self) -> BootState:
        """See BootEnv; raises ``bootenv.entry-invalid``, ``bootenv.entry-missing``, ``bootenv.default-set``."""
        self._check_default()
        best = {name: entry for name, entry in self._best().items() if not entry.name.parked}
        by_file = {entry.file: name for name, entry in best.items()}
        order = tuple(by_file[entry.file] for entry in fmt.ranked(list(best.values())))
        slots = {}
        for name in self._bootnames:
            left = 0
            if name in best:
                counted = best[name].name.left
                left = 1 if counted is None else counted
            slots[name] = SlotBoot(name, name in best, left, left > 0)
        return BootState(order, slots, "")

    def activate(self, target: str, *, fallback: str, trial: str) -> None:
        """See BootEnv."""
        check_parts(self._bootnames, target, fallback)
        self._check_default()
        with self._locked():
            best = self._best()
            self._make_first(fallback, best, behind=target)
            new = self._needed(target, self._best())
            if self._leads(target) and new.name.left == self._attempts:
                self._clean(target, new.file)
            else:
                self._put(target, new, version=self._newest() + 1, left=self._attempts)

    def confirm(self, bootname: str) -> None:
        """See BootEnv."""
        check_parts(self._bootnames, bootname)
        with self._locked():
            best = self._best()
            if self._needed(bootname, best).name.parked:
                self._make_first(bootname, best)
            else:
                self._bless(bootname)

    def revert(self, bad: str, good: str) -> None:
        """See BootEnv."""
        check_parts(self._bootnames, bad, good)
        with self._locked():
            self._make_first(good, self._best(), behind=bad)
            entry = self._best().get(bad)
            if entry is not None and not entry.name.parked:
                self._put(bad, entry, version=entry.version, parked=True)
            elif entry is not None:
                self._clean(bad, entry.file)

    def mark_good(self, bootname: str) -> None:
        """See BootEnv; a parked slot stays parked, as one that has left the order of another bootloader."""
        check_parts(self._bootnames, bootname)
        with self._locked():
            if not self._needed(bootname, self._best()).name.parked:
                self._bless(bootname)

    def heal(self, bootname: str, good: Sequence[str]) -> bool:
        """See BootEnv."""
        return False

    def settled(self, bootname: str) -> bool:
        """See Loader; a slot on trial has an entry with a count."""
        entry = self._best().get(bootname)
        return bootname in self._bootnames and (entry is None or entry.name.parked or entry.name.left is None)

    def _make_first(self, name: str, best: dict[str, fmt.Entry], *, behind: str = "") -> None:
        """Makes a slot bootable without a count, before all others but ``behind``."""
        entry = self._needed(name, best)
        rivals = [each.version for other, each in best.items() if other not in (name, behind) and each.bootable]
        top = max(rivals, default=-1)
        if entry.name.parked or entry.version <= top:
            self._put(name, entry, version=max(top + 1, entry.version))
        else:
            self._bless(name)

    def _bless(self, name: str) -> None:
        entry = self._needed(name, self._best())
        if entry.name.left is None:
            self._clean(name, entry.file)
        else:
            self._put(name, entry, version=entry.version)

    def _leads(self, name: str) -> bool:
        first = fmt.ranked([entry for entry in self._best().values() if entry.bootable])[:1]
        return [entry.name.stem.casefold() for entry in first] == [name.casefold()]

    def _newest(self) -> int:
        return max((entry.version for entry in self._best().values()), default=0)

    def _files(self, name: str) -> list[fmt.Entry]:
        found = []
        try:
            names = sorted(os.listdir(self._directory))
            for file in names:
                parts = fmt.decode_name(file)
                if parts is not None and parts.stem.casefold() == name.casefold():
                    with (self._directory / file).open("rb") as stream:
                        text = stream.read(_MAX_ENTRY).decode("utf-8", "surrogateescape")
                    found.append(fmt.entry(file, parts, text))
        except OSError as error:
            raise io_failed("the boot entries cannot be read", error) from error
        return found

    def _best(self) -> dict[str, fmt.Entry]:
        """The entry of each slot that counts; a power cut may have left an older one beside it."""
        best = {}
        for name in self._bootnames:
            found = self._files(name)
            if found:
                # Of two with one version the proven one is the newer, because a count is only ever taken away.
                best[name] = max(found, key=lambda each: (not each.name.parked, each.version, each.name.left is None))
        return best

    def _needed(self, name: str, best: dict[str, fmt.Entry]) -> fmt.Entry:
        if name not in best:
            raise BootEnvError(
                "bootenv.entry-missing", "a slot has no boot entry", details=f"{self._directory}/{name}.conf",
                resolution="put an entry for each slot on the device, named after the bootname",
            )  # fmt: skip
        return best[name]

    def _check_default(self) -> None:
        """A default is taken without regard to counts and order, so that there would be no way back."""
        said = ""
        with suppress(OSError):
            text = self._directory.with_name("loader.conf").read_text("utf-8", "replace")
            said = fmt.fields(text).get("default", "") and "loader.conf has a default"
        if self._variables.read("LoaderEntryDefault", efi_format.LOADER):
            said = "the firmware's variable LoaderEntryDefault is set"
        if said:
            raise BootEnvError(
                "bootenv.default-set", "systemd-boot has a fixed default and would not choose between slots",
                details=said, resolution='remove it: bootctl set-default "", and the line of loader.conf',
            )  # fmt: skip

    def _put(self, name: str, entry: fmt.Entry, *, version: int, left: int | None = None, parked: bool = False) -> None:
        """Writes an entry anew, durably, and only then deletes the files that it replaces."""
        file = fmt.encode_name(name, left=left, parked=parked)
        text = fmt.with_version(entry.text, version).encode("utf-8", "surrogateescape")
        temporary = self._directory / _TEMPORARY
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            try:
                if os.write(fd, text) != len(text):
                    raise OSError(f"{temporary} took only a part")
                os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(temporary, self._directory / file)
            self._sync()
        except OSError as error:
            raise io_failed("a boot entry cannot be written", error) from error
        self._clean(name, file)

    def _clean(self, name: str, file: str) -> None:
        try:
            others = [each.file for each in self._files(name) if each.file.casefold() != file.casefold()]
            for other in others:
                os.unlink(self._directory / other)
            if others:
                self._sync()
        except OSError as error:
            raise io_failed("an old boot entry cannot be deleted", error) from error

    def _locked(self) -> AbstractContextManager[None]:
        return locked(str(self._directory), LOCK_TIMEOUT)

    def _sync(self) -> None:
        fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
