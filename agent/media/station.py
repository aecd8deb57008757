"""The media as the idle daemon sees them: looks into what is plugged in, chooses, asks.

Nothing stays mounted while nothing is installed, so that a stick may be pulled at any time. While an update is under way
nobody listens here; what was plugged in meanwhile is found afterwards.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import PurePosixPath

from agent.config import MediaSettings
from agent.daemon.activities import telling
from agent.daemon.activities.stage import device_facts
from agent.daemon.activities.watch import Watch
from agent.daemon.activities.work import work
from agent.daemon.context import Context
from agent.daemon.inbox import Cancelled, Consent
from agent.daemon.policy import Offer, check
from agent.daemon.record import Record
from agent.errors import OtaError
from agent.media.choice import Candidate, Running, Verdict, chosen, judge
from agent.media.devices import Block, media
from agent.media.hotplug import Hotplug
from agent.media.medium import Medium, mounted_medium
from agent.media.notes import Notes
from agent.media.reach import Reach, open_again

_log = logging.getLogger(__name__)
ACTION = "media"  # what ``Approve`` and ``Deny`` call the update from a medium
_QUIET = 0.3  # seconds without news until a medium counts as plugged in: each partition is announced on its own
_LONGEST_NOISE = 3.0
# A medium that appears so soon after the start of the system may have been in it all the time; only what comes later was
# plugged in by somebody, who may want to have tried again what failed before.
_BOOTING = 120.0  # seconds

_WORDS = {
    Verdict.CHOSEN: "it is installed",
    Verdict.PRESENT: "what runs is as new",
    Verdict.OUTDONE: "there is a newer one",
    Verdict.TRIED: "it was begun before; plug the medium in again to have it tried again",
    Verdict.DENIED: "it was denied; plug the medium in again to be asked again",
}


class Station:
    """Everything about media.

    Args:
        settings: ``[media]``.
        hotplug: tells what is plugged in.
        own: nodes of the disks that are never looked at.
        notes: what was begun or denied before.
    """

    def __init__(self, settings: MediaSettings, hotplug: Hotplug, own: frozenset[str], notes: Notes) -> None:
        self._settings = settings
        self._hotplug = hotplug
        self._own = own
        self._notes = notes
        self._known: dict[tuple[str, str], Block] | None = None
        self._candidates: list[Candidate] = []
        self._troubles: dict[str, tuple[str, str]] = {}  # node to state and text of a medium without a bundle
        self._question: Candidate | None = None
        self._open: Reach | None = None

    def fileno(self) -> int:
        """For ``select``: readable when something was plugged in or out."""
        return self._hotplug.fileno()

    def look(self, context: Context, *, entered: bool) -> Record | None:
        """Looks into what is new; returns the update that begins, if one does.

        Args:
            context: the collaborators.
            entered: the daemon has just become idle: what runs, or was tried, may have changed.

        Raises:
            Stopped: see ``Inbox.wait``.
        """
        news, gone = self._hotplug.drain()
        if self._known is not None and not news:
            return self._decide(context) if entered else None
        self._examine(context, gone | self._settle(context))
        return self._decide(context)

    def asks(self, consent: Consent) -> bool:
        """Whether it is a medium that somebody's word is about."""
        return self._question is not None and consent.action_id == ACTION

    def said(self, context: Context, consent: Consent) -> Record | None:
        """Takes somebody's word; returns the update that begins."""
        question, self._question = self._question, None
        telling.offer(context, {})
        if question is None:
            return None
        if consent.approved:
            return self._accepted(context, question, "approved")
        _log.info("the update to %s from %s was denied: %s", question.version, question.device, consent.reason)
        context.audit.note("media", question.path, decision="denied", version=question.version)
        self._notes.add(question.manifest_hash, Verdict.DENIED)
        return self._decide(context)

    def began(self, record: Record) -> None:
        """An update from a medium has begun: however it ends, it does not begin again by itself.

        Raises:
            EnvironmentFault: ``state.write-failed``.
        """
        self._notes.add(record.manifest_hash, Verdict.TRIED)

    @contextmanager
    def source(self, context: Context, record: Record, watch: Watch) -> Iterator[int]:
        """The bundle of a record as an open file; an update that is being written waits for its medium to come back.

        Raises:
            OtaError: ``media.unplugged``, ``media.unreadable``.
            Cancelled, Stopped: meanwhile.
        """
        if self._open is not None:
            with self._open.file(record) as fd:
                yield fd
            return
        with open_again(context, self._settings, self._hotplug, self._present, record, watch) as fd:
            yield fd

    def _present(self) -> Sequence[Block]:
        return media(self._hotplug.blocks(), self._settings.devices, self._own)

    def _settle(self, context: Context) -> frozenset[str]:
        """Waits until nothing more is announced; returns what was plugged out meanwhile."""
        gone: frozenset[str] = frozenset()
        end = context.clock.boottime() + _LONGEST_NOISE
        while context.clock.boottime() < end and context.inbox.listen(_QUIET, self):
            gone |= self._hotplug.drain()[1]
        return gone

    def _examine(self, context: Context, gone: frozenset[str]) -> None:
        present = {block.key: block for block in self._present()}
        known, cold = self._known or {}, self._known is None
        left = [block for key, block in known.items() if key not in present or block.node in gone]
        for block in left:
            hashes = {each.manifest_hash for each in self._candidates if each.device == block.node}
            self._notes.forget(hashes)
            self._candidates = [each for each in self._candidates if each.device != block.node]
            self._troubles.pop(block.node, None)
        self._known = {key: block for key, block in present.items() if key in known and block not in left}
        for key, block in present.items():
            if key in self._known:
                continue
            self._known[key] = block
            found = self._look_into(context, block.node)
            if not cold and context.clock.boottime() > _BOOTING:
                self._notes.forget({each.manifest_hash for each in found})
            self._candidates += found
        context.dismiss()
        context.tell({"Progress": (0.0, "", 0)})

    def _look_into(self, context: Context, node: str) -> list[Candidate]:
        self._troubles[node] = ("looking", "it is being looked into")
        self._tell(context, [])
        try:
            with mounted_medium(context, self._settings, node) as medium:
                _log.info("%s was plugged in, with %d bundles on it", node, len(medium.files))
                context.audit.note("media", "", decision="seen", device=node, bundles=len(medium.files))
                if not medium.complete:
                    _log.warning(
                        "%s holds more than is looked at, or a damaged directory; bundles on it may be missed", node
                    )
                found = [self._inspected(context, node, medium, place) for place in range(len(medium.files))]
        except OtaError as error:
            _log.warning("%s: %s", node, error, extra={"OTA_ERROR_CODE": error.code})
            context.audit.note("media", "", decision="unreadable", device=node, code=error.code)
            self._troubles[node] = ("unreadable", f"[{error.code}] {error.brief}: {error.details}")
            return []
        del self._troubles[node]
        if not found:
            self._troubles[node] = ("empty", f"there is no {self._settings.pattern} on it")
        return found

    def _inspected(self, context: Context, node: str, medium: Medium, place: int) -> Candidate:
        """What the installer says of one file."""
        file = medium.files[place]
        candidate = Candidate(node, file.path, file.size, file.mtime)
        record = _record(candidate)
        self._open = Reach(medium)
        try:
            answer = work(context, record, {"op": "inspect"}, lambda frame: telling.progress(context, frame))
            offer = Offer(answer.text("compatible"), answer.text("version"), answer.text("manifest_hash"))
            candidate = replace(candidate, version=offer.version, manifest_hash=offer.manifest_hash)
            check(offer, device_facts(context), own_check=answer.header.get("install_check") is True)
        except Cancelled:
            candidate = replace(candidate, refusal="[update.cancelled] its inspection was given up")
        except OtaError as error:
            present = error.code == "policy.older" and not context.device.booted.rescue
            if not present:
                _log.warning("%s on %s: %s", file.path, node, error, extra={"OTA_ERROR_CODE": error.code})
                text = f"[{error.code}] {error.brief}"
                candidate = replace(candidate, refusal=text)
                context.audit.note("media", file.path, decision="refused", device=node, code=error.code)
        finally:
            self._open = None
        return candidate

    def _decide(self, context: Context) -> Record | None:
        verdicts = judge(self._candidates, _running(context), self._notes.answered)
        best = chosen(verdicts)
        asked, self._question = self._question, None
        if best is not None and self._settings.install == "ask":
            self._ask(context, best, again=best == asked)
            best = None
        elif asked is not None:
            telling.offer(context, {})
        self._tell(context, verdicts)  # last: who sees that something is asked may answer
        return None if best is None else self._accepted(context, best, "")

    def _ask(self, context: Context, best: Candidate, *, again: bool) -> None:
        self._question = best
        if not again:
            _log.info("%s on %s brings version %s and waits for approval", best.path, best.device, best.version)
            context.audit.note("media", best.path, decision="asked", device=best.device, version=best.version)
        facts = {"action": ACTION, "version": best.version, "file": best.path, "size": str(best.size)}
        telling.offer(context, facts, "wanted")

    def _accepted(self, context: Context, best: Candidate, how: str) -> Record:
        context.audit.note("media", best.path, decision=how or "accepted", device=best.device, version=best.version)
        _log.info("version %s is installed from %s on %s", best.version, best.path, best.device)
        return replace(_record(best), consent="given" if how else "")

    def _tell(self, context: Context, verdicts: Sequence[tuple[Candidate, Verdict]]) -> None:
        rows = [(node, "", state, text) for node, (state, text) in self._troubles.items()]
        for each, verdict in verdicts:
            state, text = verdict.value, each.refusal or f"{each.version}: {_WORDS[verdict]}"
            if verdict is Verdict.CHOSEN and self._settings.install == "ask":
                state, text = "asks", f"{each.version}: it waits for approval"
            rows.append((each.device, each.path, state, text))
        context.tell({"Media": sorted(rows)})


def _record(candidate: Candidate) -> Record:
    return Record(
        origin="media",
        url=candidate.path,
        name=PurePosixPath(candidate.path).name,
        size=candidate.size,
        artifact=candidate.identity,
        version=candidate.version,
        manifest_hash=candidate.manifest_hash,
    )


def _running(context: Context) -> Running:
    booted = context.device.booted
    held = context.knowledge.content(booted.bootname)
    return Running(context.running_version(), held.manifest_hash, booted.rescue)
