"""Is the boot environment the one that the bootloader reads, can it be written, and does it make sense?"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence

from agent.doctor.finding import Finding, error, failure, note, ok, warning
from agent.doctor.mounts import mount_of
from agent.doctor.subject import Subject
from agent.process import ENVIRONMENT, run
from bootloader_env.canary import NAME, canary
from bootloader_env.errors import BootEnvError
from bootloader_env.port import BootEnv, BootState
from bootloader_env.variables import Store, VariableEnv

_HEX = re.compile(r"(0[xX])?[0-9A-Fa-f]{1,8}")
_PATIENCE = 20.0  # seconds for the field's tool, which waits for the same lock as we do
_TOOLS = {"uboot": "fw_printenv", "grub": "grub-editenv"}
_VARIABLES = {"uboot": ("BOOT_{}_LEFT",), "grub": ("{}_OK", "{}_TRY")}
_COUNTING = ("uboot", "barebox")  # bootloaders that always count down from bootloader.boot-attempts
_PLAIN_RENAME = ("vfat", "msdos", "exfat")  # file systems on which the block is overwritten in its place


def environment(subject: Subject) -> Iterator[Finding]:
    """What the environment says, read only."""
    if subject.env is None:
        return
    state = subject.env.read()
    yield from _able(subject, subject.env)
    if subject.config.bootloader.type == "noop":
        return  # it knows no order
    if state.trial:
        yield note("boot.trial", f"an update is on trial: {state.trial[:60]}")
    yield from _order(subject, state)
    if subject.booted is not None and subject.booted.rescue:
        yield warning("boot.rescue", f"the rescue system {subject.booted.bootname} is running")
    elif subject.booted is not None:
        yield from _next(subject, state, subject.booted.bootname)
    yield from _variables(subject)


def proof(subject: Subject) -> Iterator[Finding]:
    """Writes, reads, compares with what the field's tool reads, and removes."""
    if subject.env is None:
        return
    tool = _TOOLS.get(subject.config.bootloader.type, "")
    store = _store(subject)
    if store is None:
        yield note(
            "boot.canary", f"{subject.config.bootloader.type} keeps no variables that could be written for a proof"
        )
        return
    if tool and shutil.which(tool, path=ENVIRONMENT["PATH"]) is None:
        yield warning("boot.tool", f"{tool} is not installed")
        tool = ""
    if subject.env.read().trial or not subject.may_write:
        reason = "an update is on trial" if subject.may_write else "it was asked to write nothing"
        yield note("boot.canary", f"not written: {reason}")
        yield from _compared(subject, store, tool, "")
        return
    value = secrets.token_hex(4)
    try:
        with canary(store, value):
            compared = list(_compared(subject, store, tool, value))
    except BootEnvError as problem:
        yield failure("boot.canary", problem)
        return
    yield ok("boot.canary", "a variable was written, read and removed")
    yield from compared


def _able(subject: Subject, env: BootEnv) -> Iterator[Finding]:
    """What the bootloader can do at all."""
    kind, can = subject.config.bootloader.type, env.capabilities
    if can.redundant:
        yield ok("boot.redundant", "the environment has two copies")
    elif kind == "uboot":
        yield warning("boot.redundant", "the environment has a single copy, which the configuration allows")
    elif kind == "grub":
        yield from _block(subject)
    elif can.atomic:
        yield ok("boot.redundant", "a change is one write of the firmware or the file system")
    else:
        yield note(
            "boot.redundant", f"{kind} needs several writes for one change; a power cut between them is survived"
        )
    if can.trial_attempts:
        yield ok("boot.fallback", f"a new system has {can.trial_attempts} attempts before the bootloader goes back")
    else:
        yield warning("boot.fallback", f"it is not known that {kind} goes back from a new system that does not come up")


def _block(subject: Subject) -> Iterator[Finding]:
    block = subject.config.bootloader.grubenv
    mount = mount_of(block, subject.places.proc)
    if mount.fstype in _PLAIN_RENAME:
        yield note("boot.redundant", f"{block} is on {mount.fstype}: its first sector is overwritten in one write")
    else:
        yield ok("boot.redundant", f"{block} is replaced as a whole on {mount.fstype}")


def _order(subject: Subject, state: BootState) -> Iterator[Finding]:
    text = " ".join(state.order) or "empty"
    known = {group.bootname for group in subject.groups}
    strange = [name for name in state.order if name not in known]
    booted = subject.booted.bootname if subject.booted is not None and not subject.booted.rescue else ""
    if not state.order:
        yield error("boot.order", "the boot order is empty")
    elif booted and booted not in state.order:
        yield error("boot.order", f"the running slot {booted} is not in the boot order: {text}")
    elif strange:
        yield warning("boot.order", f"the boot order names {', '.join(strange)}, which the configuration does not know")
    else:
        yield ok("boot.order", f"the boot order is {text}")


def _next(subject: Subject, state: BootState, booted: str) -> Iterator[Finding]:
    slot = state.slots[booted]
    full = subject.config.bootloader.boot_attempts if _counts(subject, booted) else 1
    if slot.in_order and slot.attempts == 0:
        yield warning("boot.attempts", f"the running slot {booted} has no attempt left and is not marked good")
    elif slot.in_order and slot.attempts < full and not state.trial:
        yield note("boot.attempts", f"the running slot {booted} has {slot.attempts} of {full} attempts left")
    elif slot.in_order:
        yield ok("boot.attempts", f"the running slot {booted} has {slot.attempts} attempts")
    others = [name for name, each in state.slots.items() if each.good and name != booted]
    others += [f"the rescue system {group.bootname}" for group in subject.groups if group.rescue]
    if not slot.good or state.trial:
        return  # told above
    if state.primary != booted:
        yield warning("boot.next", f"{state.primary} boots next, while {booted} is running")
    elif others:
        yield ok("boot.next", f"{booted} boots next, and behind it {', '.join(others)}")
    else:
        yield note("boot.next", f"{booted} boots next, and there is no other slot to fall back to")


def _counts(subject: Subject, booted: str) -> bool:
    """Whether the bootloader counts down; GRUB does with our script, and where nobody has marked the slot without LEFT."""
    kind, store = subject.config.bootloader.type, _store(subject)
    return kind in _COUNTING or (kind == "grub" and store is not None and f"{booted}_LEFT" in store.load())


def _variables(subject: Subject) -> Iterator[Finding]:
    store = _store(subject)
    if store is None:
        return
    have = store.load()
    needed = _needed(subject)
    if not needed:
        return
    missing = [name for name in needed if name not in have]
    wrong = [f"{name}={have[name][:20]}" for name in needed if name in have and not _HEX.fullmatch(have[name])]
    if missing or wrong:
        said = [
            f"{', '.join(missing)} not set" if missing else "",
            f"{', '.join(wrong)} makes no sense" if wrong else "",
        ]
        yield warning("boot.variables", "; ".join(each for each in said if each))
    else:
        yield ok("boot.variables", f"{', '.join(needed)} are set")
    if subject.config.bootloader.type == "uboot":
        if "bootcmd" in have:
            yield ok("boot.origin", "it holds bootcmd")
        else:
            yield warning("boot.origin", f"it holds no bootcmd, but {len(have)} other variables")


def _compared(subject: Subject, store: Store, tool: str, value: str) -> Iterator[Finding]:
    """Asks the field's tool for the variables that matter, and for the canary when there is one."""
    if not tool:
        return
    have = store.load()
    names = [name for name in _needed(subject) if name in have] + ([NAME] if value else [])
    seen, problem = _asked(subject, tool, names)
    ours = {name: have.get(name, "") for name in names}
    if problem:
        yield warning("boot.tool", f"{tool} cannot read the environment: {problem}")
    elif {name: seen.get(name, "") for name in names} != ours:
        differing = [name for name in names if seen.get(name, "") != ours[name]]
        yield error("boot.tool", f"{tool} sees other values than the agent for {', '.join(differing)}")
    else:
        yield ok("boot.tool", f"{tool} sees the same values")


def _asked(subject: Subject, tool: str, names: Sequence[str]) -> tuple[Mapping[str, str], str]:
    loader = subject.config.bootloader
    command = [tool, str(loader.grubenv), "list"] if tool == "grub-editenv" else [tool, "-c", str(loader.fw_env_config)]
    done = run([*command, *(names if tool == "fw_printenv" else ())], _PATIENCE)
    if done.status != 0:
        return {}, done.last_line or f"exit status {done.status}"
    return dict(line.split("=", 1) for line in done.output.splitlines() if "=" in line), ""


def _needed(subject: Subject) -> list[str]:
    """The variables by which the bootloader knows the slots."""
    patterns = _VARIABLES.get(subject.config.bootloader.type, ())
    slots = [group.bootname for group in subject.groups if not group.rescue]
    return [pattern.format(name) for name in slots for pattern in patterns]


def _store(subject: Subject) -> Store | None:
    return subject.env.store if isinstance(subject.env, VariableEnv) else None
