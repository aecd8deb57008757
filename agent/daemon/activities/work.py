"""Putting the other two processes to work on a bundle: the fetcher's bytes go to the installer directly, never through here."""

from __future__ import annotations

import logging
import select
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from agent.clock import built, verification_time
from agent.config import Config, KeyringSettings
from agent.daemon.activities.watch import Watch
from agent.daemon.audited import recorded_work
from agent.daemon.children import Child
from agent.daemon.context import Context
from agent.daemon.device import variant_of
from agent.daemon.inbox import HasFileno
from agent.daemon.network import Conversation
from agent.daemon.record import Record
from agent.errors import ConfigError, EnvironmentFault, OtaError, from_explained
from agent.wire import Frame
from slots.device import resolve
from slots.errors import SlotError
from slots.model import Slot

_log = logging.getLogger(__name__)
_SPOOL = "spool-"
_TICK = 0.5  # seconds between looks at the inbox while children work
_RESTING = 1.0  # seconds for a fetcher to notice that nobody reads any more
_ANSWER = 60.0  # seconds for the rest of a message that has begun
# Seconds without a word from the installer or, because it says nothing while it waits for bytes, from the fetcher. That one
# tells each attempt and, while bytes come, each minute; one attempt may take the times of the configuration besides. And a
# plain bundle of 2 GiB is digested in this time by a medium that gives 1 MiB per second.
_SILENCE = 2400.0
_ENDING = (
    120.0  # seconds to end a child that was silent for too long; one that cannot be killed is left to the watchdog
)


def work(
    context: Context,
    record: Record,
    request: Mapping[str, object],
    hear: Callable[[Frame], None],
    look: Callable[[], None] = lambda: None,
) -> Frame:
    """Lets an installer do ``request`` with the recorded bundle.

    Args:
        context: the collaborators.
        record: names the bundle.
        request: ``op`` and what belongs to it; what every request needs is added here.
        hear: told each ``progress``, ``checkpoint`` and ``said``.
        look: called while the work goes on; what it raises ends it.

    Returns:
        The final message of the installer.

    Raises:
        OtaError: what the installer or the fetcher reported, or that one of them died.
        Cancelled: the update was taken back meanwhile.
    """
    watch = Watch(context, record)
    if record.origin == "server" and record.attempts > 1:
        watch.ask()  # an action that was taken back meanwhile may be the reason why the last try failed
    silence = _silence(context, record)
    with (
        recorded_work(context.audit, record, str(request["op"])),
        context.inbox.patient(silence + _ENDING),
        _at_work(context, record, watch, keep=request["op"] == "inspect") as (installer, fd, talk),
    ):
        installer.channel.send({**_common(context, record), **request}, fds=(fd,))
        heard = context.clock.boottime()
        while True:
            children: list[HasFileno] = [installer] if talk is None else [installer, talk.child]
            ready = context.inbox.wait(_TICK, children)
            if ready:
                heard = context.clock.boottime()
            elif context.clock.boottime() - heard > silence:
                raise _hanging(silence)
            if installer in ready:
                frame = installer.receive(_ANSWER)
                if frame.op == "error":
                    raise _reported(frame)
                if frame.op not in ("progress", "checkpoint", "said"):
                    return frame
                hear(frame)
            if talk is not None and talk.child in ready and _all_said(talk, context):
                talk = None
            watch.look()
            look()


@contextmanager
def _at_work(
    context: Context, record: Record, watch: Watch, *, keep: bool
) -> Iterator[tuple[Child, int, Conversation | None]]:
    if record.origin == "media":  # it may have to be waited for, and is closed last
        with _source(context, record, watch, keep=keep) as (fd, talk), context.installers.lent(keep=keep) as installer:
            yield installer, fd, talk
        return
    # The installer first: it starts while the fetcher talks to the server.
    with (
        context.installers.lent(keep=keep) as installer,
        _source(context, record, watch, keep=keep) as (fd, talk),
    ):
        yield installer, fd, talk


def _fetcher_spoke(talk: Conversation, context: Context) -> bool:
    """The fetcher tells what it has cost so far, or has served everything (then returns True), or failed."""
    frame = talk.spoken(_ANSWER)
    if context.server is not None and "bytes" in frame.header:
        context.server.spending.count(frame.number("bytes"), frame.number("retries", 0))
    if frame.op == "error":
        raise _reported(frame)
    if frame.op not in ("served", "spent"):
        raise EnvironmentFault("ipc.protocol", "the fetcher said something unexpected", details=frame.op[:60])
    return frame.op == "served"


def _all_said(talk: Conversation, context: Context) -> bool:
    """Hears everything that the fetcher has said by now; returns whether it has served everything."""
    while select.select([talk.child], [], [], 0)[0]:
        if _fetcher_spoke(talk, context):
            return True
    return False


def _await_end(talk: Conversation, context: Context) -> None:
    """Waits a moment until the fetcher is at rest; one that is not is not used again."""
    with suppress(OtaError):
        while talk.serving and select.select([talk.child], [], [], _RESTING)[0]:
            _fetcher_spoke(talk, context)


def _silence(context: Context, record: Record) -> float:
    if record.origin != "server":
        return _SILENCE
    server = context.config.server
    return _SILENCE + server.connect_timeout + 2 * server.read_timeout


def _hanging(silence: float) -> EnvironmentFault:
    return EnvironmentFault(
        "child.silent", "the installer does not get on", details=f"it said nothing for {silence:.0f} s",
        resolution="the work is tried again; if this repeats, the storage may hang",
    )  # fmt: skip


def _reported(frame: Frame) -> EnvironmentFault | Exception:
    parts = frame.header.get("error")
    return from_explained(parts if isinstance(parts, dict) else {})


@contextmanager
def _source(context: Context, record: Record, watch: Watch, *, keep: bool) -> Iterator[tuple[int, Conversation | None]]:
    """The bundle as a descriptor: an open file, or a socket to a fetcher that serves the recorded address."""
    if record.origin == "local":
        with context.handed.opened(record) as fd:
            yield fd, None
        return
    if record.origin == "media":
        if context.media is None:
            raise ConfigError(
                "media.off", "an update from a medium is recorded, but media are not looked for",
                resolution="set media.install; the agent's log tells when media cannot be watched",
            )  # fmt: skip
        with context.media.source(context, record, watch) as fd:
            yield fd, None
        return
    if context.server is None:
        raise ConfigError("server.none", "an update from the server is recorded, but no server is configured")
    spending = context.server.spending
    step = spending.begin(record)
    with context.server.transfer().conversation(keep=keep) as talk:
        context.server.deliver(talk)
        near, far = socket.socketpair()
        try:
            with near:
                with far:
                    talk.serve(record.url, record.size, far.fileno(), step)
                yield near.fileno(), talk
            if keep:  # now that nobody reads any more, the serving ends
                _await_end(talk, context)
        finally:
            with suppress(OtaError):  # it counts, but that it is too much does not matter any more
                _all_said(talk, context)
            spending.end()


def spools(directory: Path) -> Iterator[Path]:
    """The plain bundles (and parts of them) that were fetched into the state directory."""
    return directory.glob(f"{_SPOOL}*")


def spool(directory: Path, record: Record) -> Path:
    """Where the plain bundle of an update is kept."""
    return directory / f"{_SPOOL}{record.sha256[:32] or record.action_id}.raucb"


def remove_spools(directory: Path, kept: Path | None = None) -> None:
    """Removes them all but one. What cannot be removed is left to the next update: no report may wait for it."""
    for each in spools(directory):
        try:
            if kept is None or each.stem != kept.stem:
                each.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("%s could not be removed: %s", each, error)


def _common(context: Context, record: Record) -> dict[str, object]:
    config = context.config
    return {
        "size": record.size,
        "sha256": record.sha256,
        "spool": str(spool(config.system.state_dir, record)),
        "trust": _trust(config.keyring),
        "formats": list(config.bundle.formats),
        "encryption_key": str(config.encryption.key or ""),
        "encryption_cert": str(config.encryption.cert or ""),
        "variant": variant_of(config),
        "programs": _programs(context, record) if config.bundle.allow_hooks else None,
        "when": verification_time(
            context.clock.wall(), context.knowledge.signed_at(), built(config.system.clock_epoch)
        ),
    }


def _trust(keyring: KeyringSettings) -> dict[str, object]:
    return {
        "path": str(keyring.path or ""),
        "directory": str(keyring.directory or ""),
        "check_purpose": keyring.check_purpose,
        "check_crl": keyring.check_crl,
        "allow_partial_chain": keyring.allow_partial_chain,
        "allowed_signer_cns": list(keyring.allowed_signer_cns),
    }


def programs_directory(config: Config) -> Path:
    """Where the files of a bundle are for its programs, while they run."""
    return config.system.state_dir / "hooks"


def described(slot: Slot) -> dict[str, object]:
    """A slot for the installer."""
    return {
        "name": slot.name, "class": slot.slot_class, "index": slot.index, "device": slot.device, "type": slot.type,
        "bootname": slot.bootname or "", "parent": slot.parent or "", "resize": slot.resize,
        "extra_mkfs_opts": list(slot.extra_mkfs_opts), "extra_mount_opts": slot.extra_mount_opts,
        "region_start": slot.region_start, "region_size": slot.region_size, "size_limit": slot.size_limit,
        "allow_devices": slot.allow_devices, "install_same": slot.install_same,
    }  # fmt: skip


def _programs(context: Context, record: Record) -> dict[str, object]:
    """What the programs of a bundle are told about this device; that it is sent is the leave to run them."""
    config, device = context.config, context.device
    targets = device.group(record.target).slots if record.target else ()
    return {
        "timeout": config.bundle.hook_timeout,
        "directory": str(programs_directory(config)),
        "config": str(config.files[-1]),
        "compatible": device.compatible,
        "variant": variant_of(config),
        "version": context.running_version(),
        "bootname": device.booted.bootname,
        "transaction": record.transaction or f"{record.action_id} {record.manifest_hash}",
        "targets": [slot.name for slot in targets],
        "slots": [_with_path(slot) for slot in dict.fromkeys(slot for group in device.groups for slot in group.slots)],
    }


def _with_path(slot: Slot) -> dict[str, object]:
    """The slot with the path of its device, which a program can open; a slot that is not there keeps its name."""
    try:
        return {**described(slot), "device": resolve(slot.device)}
    except SlotError:
        return described(slot)
