"""The five acts: what happens to the device, and what is looked at afterwards.

Every claim is held against the thing itself: the bytes of a slot, the boot environment, the server's history.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.demo.images import MIB
from agent.demo.screen import Result
from agent.demo.server_values import Entry
from agent.demo.world import Published, World
from agent.errors import OtaError

_SICK = "the display driver does not start"
_DROPS = 3
_SLACK = 0.002  # seconds: the server's clock has milliseconds


@dataclass(slots=True)
class Findings:
    """What was seen, and which claims did not hold."""

    seen: str = ""
    broken: list[str] = field(default_factory=list)

    def claim(self, what: str, holds: bool) -> None:
        """Takes note of a claim."""
        if not holds:
            self.broken.append(what)


@dataclass(frozen=True, slots=True)
class Act:
    """One act.

    Args:
        number: its place.
        title: what is about to happen.
        why: why it matters to whoever has devices in the field.
        expected: how it must end.
        play: does it and looks.
    """

    number: int
    title: str
    why: str
    expected: str
    play: Callable[[World], Findings]


def perform(act: Act, world: World) -> Result:
    """Plays an act; whatever goes wrong is a result, too."""
    began = time.monotonic()
    try:
        world.wait_settled()
        findings = act.play(world)
    except OtaError as error:
        return Result(
            act.number, act.title, act.expected, f"{error.brief} [{error.code}]", ok=False,
            seconds=time.monotonic() - began, details=error.details,
        )  # fmt: skip
    ok = not findings.broken
    seen = findings.seen if ok else f"it does not hold that {', that '.join(findings.broken)}"
    return Result(act.number, act.title, act.expected, seen, ok, time.monotonic() - began)


def update(world: World) -> Findings:
    """Act 1."""
    old, target, kept = world.running, world.other, world.slot_sha256(world.running.bootname)
    published = world.publish("1.1.0")
    action_id = world.deploy(published)
    world.wait_ended(action_id)
    # The confirmation is the last write to the boot environment: its time is the time of that write.
    confirmed = world.board.flash.path.stat().st_mtime
    findings = Findings()
    _runs(world, findings, published, target)
    told = _finished(world, findings, action_id)
    findings.claim("success was reported only after the confirmation", told >= confirmed - _SLACK)
    findings.claim(f"slot {old.bootname} is untouched", world.slot_sha256(old.bootname) == kept)
    findings.seen = (
        f"{world.running.version} runs in slot {target} and is confirmed; "
        f"the server heard of success {1000 * max(0.0, told - confirmed):.0f} ms after that"
    )
    return findings


def fallback(world: World) -> Findings:
    """Act 2."""
    old, target, boots = world.running, world.other, len(world.board.boots)
    action_id = world.deploy(world.publish("1.2.0", sick=_SICK))
    status = world.wait_ended(action_id)
    tried = [boot.version for boot in world.board.boots[boots:] if boot.bootname == target]
    findings = Findings()
    findings.claim("the new system was really booted", tried == ["1.2.0"])
    findings.claim(
        "the old system runs again", (world.running.bootname, world.running.version) == (old.bootname, old.version)
    )
    environment = world.environment()
    findings.claim("the old slot is the choice", environment.get("BOOT_ORDER", "").split()[:1] == [old.bootname])
    findings.claim("no trial is left over", not environment.get("OTA_TRIAL"))
    findings.claim("the server heard a failure", status == "ERROR" and not _of_type(world, action_id, "FINISHED"))
    findings.claim("the server heard the reason", _SICK in world.messages(action_id))
    findings.seen = f"{world.running.version} runs again in slot {world.running.bootname}; the server heard: {_SICK}"
    return findings


def forgery(world: World) -> Findings:
    """Act 3."""
    old, boots = world.running, len(world.board.boots)
    before = [world.slot_sha256(name) for name in world.board.slots]
    environment = world.environment()
    action_id = world.deploy(world.publish("9.9.9", signer="stranger"))
    status = world.wait_ended(action_id)
    findings = Findings()
    findings.claim("no byte of any slot has changed", [world.slot_sha256(name) for name in world.board.slots] == before)
    findings.claim("the boot environment has not changed", world.environment() == environment)
    findings.claim("the device did not restart", world.running == old and len(world.board.boots) == boots)
    findings.claim("the server heard a failure", status == "ERROR")
    code = "bundle.signature-untrusted"
    findings.claim(f"the server heard {code}", code in world.messages(action_id))
    findings.seen = f"refused, both slots and the boot environment untouched; the server heard: {code}"
    return findings


def power_cut(world: World) -> Findings:
    """Act 4."""
    old, target = world.running, world.other
    published = world.publish("1.3.0")
    world.server.faults.throttle(published.size // 2)
    action_id = world.deploy(published)
    world.wait_for(lambda: world.state == "staging" and world.checkpoint > 0, 60, "a first checkpoint")
    killed = world.board.power_cut()
    reached, already = world.checkpoint, len(world.server.seen)
    world.tell("board", f"POWER CUT: {killed} processes are gone, {reached // MIB} MiB are surely on the medium", "bad")
    world.server.faults.clear()
    findings = Findings()
    findings.claim("the old slot was still the choice", world.environment()["BOOT_ORDER"].split()[:1] == [old.bootname])
    boot = world.board.power_on()
    findings.claim("the old system booted", (boot.bootname, boot.version) == (old.bootname, old.version))
    world.wait_for(lambda: world.board.written()[0] or world.state != "staging", 60, "writing goes on")
    world.tell("device", f"goes on writing slot {target}, at {reached // MIB} MiB")
    world.wait_ended(action_id)
    sent = world.sent(published, already)
    findings.claim("the download was not repeated from its start", 0 < sent < published.size)
    findings.claim("no progress was lost", reached > 0)
    _runs(world, findings, published, target)
    _finished(world, findings, action_id)
    findings.seen = (
        f"{old.version} booted, went on at {reached // MIB} of {published.image_size // MIB} MiB "
        f"({_mib(sent)} of {_mib(published.size)} MiB sent after the cut); {world.running.version} is confirmed"
    )
    return findings


def bad_network(world: World) -> Findings:
    """Act 5."""
    target = world.other
    published = world.publish("1.4.0")
    already = len(world.server.seen)
    world.server.faults.drop(published.size // 6, times=1000)
    action_id = world.deploy(published)

    def drops() -> int:
        lost = sum(
            seen.status == -1 for seen in list(world.server.seen)[already:] if published.bundle.name in seen.path
        )
        if lost > told[0]:
            told[0] = lost
            world.tell("network", f"the connection was lost in the middle of the download ({lost} of {_DROPS})", "bad")
        return lost

    told = [0]
    world.wait_for(lambda: drops() >= _DROPS or world.state == "trial", 60, "three lost connections")
    world.server.faults.clear()
    world.wait_ended(action_id)
    lost, sent = drops(), world.sent(published, already)
    findings = Findings()
    findings.claim(f"the connection was lost {_DROPS} times", lost >= _DROPS)
    findings.claim("the download went on instead of starting again", sent < 1.5 * published.size)
    _runs(world, findings, published, target)
    _finished(world, findings, action_id)
    findings.seen = (
        f"{lost} lost connections; {_mib(sent)} MiB on the wire for {_mib(published.size)} MiB; "
        f"{world.running.version} is confirmed"
    )
    return findings


ACTS = (
    Act(
        1, "An ordinary update",
        "Many agents report success before the restart. Here the server hears it only when the new system has booted, "
        "is healthy, and was confirmed in the boot environment.",
        "the new version runs, is confirmed, and only then reported", update,
    ),
    Act(
        2, "An update that does not work",
        "The new system boots, but its health check fails. A device in the field must come back by itself, and say why.",
        "the old version runs again; the server hears a failure with its reason", fallback,
    ),
    Act(
        3, "A forged update",
        "A stranger has signed a bundle, with certificates that bear the same names as yours.",
        "refused before a byte is written; the server hears why", forgery,
    ),
    Act(
        4, "A power cut in the middle of writing",
        "The power fails while the inactive slot is half written. The device must boot, and must not start all over.",
        "the old version boots, writing goes on at the checkpoint, the new version is confirmed", power_cut,
    ),
    Act(
        5, "A bad network",
        "The connection breaks again and again. Whoever pays for mobile data wants no byte twice.",
        "the download goes on where it stopped; the new version is confirmed", bad_network,
    ),
)  # fmt: skip


def _runs(world: World, findings: Findings, published: Published, target: str) -> None:
    """The new system runs, is what was built, and is the confirmed choice of the bootloader."""
    running, environment = world.running, world.environment()
    findings.claim(f"{published.version} runs", (running.bootname, running.version) == (target, published.version))
    same = world.slot_sha256(target, published.image_size) == published.image_sha256
    findings.claim(f"slot {target} holds exactly the image", same)
    findings.claim("it is first in the boot order", environment.get("BOOT_ORDER", "").split()[:1] == [target])
    findings.claim("it has all its boot attempts", environment.get(f"BOOT_{target}_LEFT") == "3")
    findings.claim("no trial is left over", not environment.get("OTA_TRIAL"))
    if world.bus:
        said = world.properties()
        findings.claim(
            "D-Bus tells the same", (said.get("Slot"), said.get("CurrentVersion")) == (target, published.version)
        )


def _finished(world: World, findings: Findings, action_id: str) -> float:
    """The server heard of success once; returns when, in seconds since the epoch."""
    last = _of_type(world, action_id, "FINISHED")
    findings.claim("the server heard of success once", len(last) == 1 and not _of_type(world, action_id, "ERROR"))
    return last[0].reported / 1000 if last else 0.0


def _of_type(world: World, action_id: str, kind: str) -> list[Entry]:
    return [entry for entry in world.history(action_id) if entry.type == kind]


def _mib(size: int) -> str:
    return f"{size / MIB:.1f}"
