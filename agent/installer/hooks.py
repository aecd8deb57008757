"""The programs of one bundle: when they run, and what their end means. Loaded only when a bundle has any.

RAUC's contract (docs/using.rst, "Hooks"): ``install-check`` takes the place of the compatible check and rejects by an exit
status of 10 or more; slot hooks run before, instead of or after the writing of an image; a handler replaces everything.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from agent.bundle.manifest import Image
from agent.bundle.verify import VerifiedBundle
from agent.errors import BundleError, PolicyError
from agent.installer import environment
from agent.installer.namespaces import build_walls, mounted
from agent.installer.permission import Permission
from agent.installer.programs import Ended, run
from agent.installer.unpack import unpacked
from agent.wire import Channel
from slots.device import resolve
from slots.model import Slot

_REJECTED = 10  # exit status of install-check from which on it means "not for this device"
_MOUNTABLE = ("ext4", "vfat")
_HANDLER_WORDS: Mapping[str, str] = {
    "handler": "handler status: {}", "image": "image {}", "bootloader": "bootloader status: {}",
    "error": "error: {}", "debug": "debug: {}",
}  # fmt: skip


class Programs:
    """The programs of a bundle that may run, unpacked. Made by ``ready``."""

    def __init__(self, bundle: VerifiedBundle, allowed: Permission, channel: Channel, directory: Path) -> None:
        self._bundle, self._manifest, self._directory = bundle, bundle.manifest, directory
        self._timeout, self._facts, self._channel = allowed.timeout, allowed.facts, channel

    def check(self) -> None:
        """Runs ``install-check``, if the bundle has it.

        Raises:
            PolicyError: ``hook.rejected`` with the reason that the hook gave.
            BundleError: ``hook.failed``, ``hook.timeout``, ``hook.not-started``.
        """
        if "install-check" not in self._manifest.hooks:
            return
        ended = self._run_hook("install-check", environment.for_check(self._facts, self._manifest))
        if ended.status is not None and ended.status >= _REJECTED:
            raise PolicyError(
                "hook.rejected", "the bundle's own check refuses this device",
                details=ended.last_error or f"its install-check hook ended with status {ended.status}",
                resolution="the reason comes from the maker of the bundle; deploy one that is for this device",
            )  # fmt: skip
        self._require_success("install-check", ended)

    def around(self, when: str, image: Image, slot: Slot, more: Mapping[str, str]) -> None:
        """Runs the hook ``slot-pre-install`` or ``slot-post-install``, with the slot mounted when it has a file system.

        Args:
            when: which of both.
            image: the one for the slot.
            slot: where it goes.
            more: variables for the environment of the hook.

        Raises:
            BundleError: ``hook.failed``, ``hook.timeout``, ``hook.not-started``.
            EnvironmentFault: ``hook.mount-failed``, ``hook.unmount-failed``.
        """
        if slot.type not in _MOUNTABLE:
            self._slot_hook(when, image, slot, more)
            return
        where = self._facts.prefix / slot.name
        with mounted(resolve(slot.device), slot.type, where, slot.extra_mount_opts):
            self._slot_hook(when, image, slot, {**more, "RAUC_SLOT_MOUNT_POINT": str(where)})

    def instead(self, image: Image, slot: Slot) -> None:
        """Runs the hook ``slot-install``, which fills the slot itself.

        Raises:
            BundleError: ``hook.failed``, ``hook.timeout``, ``hook.not-started``.
        """
        self._slot_hook("slot-install", image, slot, {})

    def handle(self) -> None:
        """Runs the handler, which fills the target slots itself.

        Raises:
            BundleError: ``hook.failed``, ``hook.timeout``, ``hook.not-started``.
        """
        name = self._manifest.handler_filename
        try:
            arguments = shlex.split(self._manifest.handler_args)
        except ValueError as error:
            raise BundleError(
                "hook.not-started", "a program of the bundle cannot be started",
                details=f"[handler] args: {error}", resolution="correct the quotes in the manifest",
            ) from error  # fmt: skip
        told = environment.for_handler(self._facts, self._manifest, self._directory)
        ended = run([str(self._directory / name), *arguments], told, self._timeout, self._hear_handler)
        self._require_success(f"handler {name}", ended)

    def _slot_hook(self, when: str, image: Image, slot: Slot, more: Mapping[str, str]) -> None:
        known = self._facts.slot(slot.name) or slot
        told = environment.for_slot(self._facts, image, known, self._directory, self._bundle.signer.chain)
        self._require_success(f"{when} for {slot.name}", self._run_hook(when, {**told, **more}))

    def _run_hook(self, argument: str, told: Mapping[str, str]) -> Ended:
        program = str(self._directory / self._manifest.hook_filename)
        return run([program, argument], told, self._timeout, lambda line: self._say(f"{argument}: {line}"))

    def _require_success(self, what: str, ended: Ended) -> None:
        if ended.status is None:
            raise BundleError(
                "hook.timeout", "a program of the bundle took too long",
                details=f"{what}: still running after {self._timeout} s; it said last: {ended.last_line or 'nothing'}",
                resolution="make it faster, or raise bundle.hook-timeout",
            )  # fmt: skip
        if ended.status != 0:
            how = f"exit status {ended.status}" if ended.status > 0 else f"killed by signal {-ended.status}"
            raise BundleError(
                "hook.failed", "a program of the bundle failed",
                details=f"{what}: {how}; it said last: {ended.last_error or ended.last_line or 'nothing'}",
                resolution="the journal of ota-agent has all that it said; correct it and build a new bundle",
            )  # fmt: skip

    def _hear_handler(self, line: str) -> None:
        self._say(f"handler: {line}", progress_of(line))

    def _say(self, text: str, progress: str = "") -> None:
        self._channel.send({"op": "said", "text": text, "progress": progress})


@contextmanager
def ready(
    bundle: VerifiedBundle, allowed: Permission, images: Collection[Image], channel: Channel
) -> Iterator[Programs]:
    """Unpacks the programs, and what they need, for a time; see ``unpack.py``.

    Args:
        bundle: a verified one.
        allowed: the leave of the daemon.
        images: what a program must see of them, because it does the writing.
        channel: where the words of the programs go.

    Raises:
        ConfigError: ``hook.not-confined``, and what ``unpacked`` raises.
    """
    build_walls()
    with unpacked(bundle, [image for image in images if image.filename], allowed.facts.prefix) as directory:
        yield Programs(bundle, allowed, channel, directory)


def progress_of(line: str) -> str:
    """What a handler's ``<< ...`` line says to a person; empty for any other line (``parse_handler_output`` in RAUC)."""
    mark, _, rest = line.partition(" ")
    word, _, text = rest.partition(" ")
    if mark != "<<" or not word:
        return ""
    return _HANDLER_WORDS[word].format(text) if word in _HANDLER_WORDS and text else f"handler: {rest}"
