"""The promises, held against one state of the media and what becomes of it.

At the cut:

1. The boot script finds a valid environment and picks a slot; whatever it would pick if every boot failed from now on
   holds a whole system, or what was there before the update (never something half-written, not even in need).
2. No document of the agent is damaged, whatever part of a write survived.
3. The server has not been told of a success that the medium does not hold.
4. The version floor is not raised before the new system is confirmed.

At rest, after the power came back:

5. A whole system runs, its slot is the choice with full attempts, and nothing is on trial.
6. The server has heard exactly one end of the action, and it is the truth about what runs. That a cancellation was obeyed it
   may hear once more for each power cut between its answer and the durable note of that: hawkBit refuses a second end of a
   deployment, but not of a cancellation.
7. Success was only ever said by the new system, after it was confirmed.
8. What the device remembers agrees: record, outbox, slot status, ending, floor. The audit log is in order.
9. A healthy update under U-Boot succeeds in spite of up to two power cuts; one that is not healthy never does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from agent.audit.chain import Broken
from agent.audit.files import Files
from agent.daemon.slot_status import from_json
from agent.demo.bootscript import ATTEMPTS
from agent.demo.factory import CONTROLLER
from agent.demo.server_state import State
from agent.demo.server_values import Action
from crash.content import Content
from crash.disk import State as DiskState
from crash.record import Recording
from crash.rig import Ended, Rig

_BOOTS = 12  # failed ones in a row
_ENDS = ("FINISHED", "ERROR", "CANCELED")


@dataclass(frozen=True, slots=True)
class Past:
    """What the cuts until now allow.

    Attributes:
        proved: the new system was confirmed at one of them, so that GRUB may have left it since.
        doubts: at so many of them the server had heard that a cancellation was obeyed, and the medium did not know.
    """

    proved: bool = False
    doubts: int = 0

    def after(self, rig: Rig, server: State) -> Past:
        """After one more cut; the rig holds what was found then."""
        return Past(self.proved or is_confirmed(rig), self.doubts + _is_in_doubt(rig, server))


def at_cut(rig: Rig, state: DiskState, server: State, past: Past) -> list[str]:
    """What is wrong with a state as it was found, before anything runs.

    Args:
        rig: holds the state.
        state: the same.
        server: what the server knows.
        past: the cuts before this one.
    """
    recording = rig.recording
    problems = [f"{name} is damaged" for name, content in state.items() if _damaged(name, content)]
    loaded = rig.flash.load()
    if not rig.grub and loaded.copy is None:
        problems.append("no copy of the environment is valid")
    picked = _picks(rig, loaded.variables)
    problems += _unbootable(rig, picked)
    confirmed = is_confirmed(rig) or (rig.grub and past.proved)
    action = server.actions.get(recording.action_id)
    if action is not None and action.status == "FINISHED" and not confirmed:
        problems.append("the server was told of a success that is not on the medium")
    if rig.document("facts").get("floor") == recording.floor and not confirmed:
        problems.append("the floor was raised before the new system was confirmed")
    return problems


def is_confirmed(rig: Rig) -> bool:
    """Whether the medium says that the new system has proved itself and is the choice."""
    variables, name = rig.flash.load().variables, rig.recording.new.bootname
    first = variables.get("ORDER" if rig.grub else "BOOT_ORDER", "").split()[:1] == [name]
    # GRUB's one attempt may be in use at this moment: the script has noted it, and the system is coming up.
    good = variables.get(f"{name}_OK") == "1" if rig.grub else variables.get(f"BOOT_{name}_LEFT", "0") != "0"
    return first and good and not variables.get("OTA_TRIAL")


def _is_in_doubt(rig: Rig, server: State) -> bool:
    action, entries = server.actions.get(rig.recording.action_id), rig.document("outbox").get("entries")
    if action is None or not _ends_of(action) or not isinstance(entries, list):
        return False
    return any(each["feedback"]["kind"] == "cancel" and each["feedback"]["terminal"] for each in entries)


def at_rest(rig: Rig, ended: Ended, cuts: int, past: Past, *, told: bool) -> list[str]:
    """What is wrong after the device came to rest.

    Args:
        rig: the device.
        ended: what was seen on the way.
        cuts: how often the power failed.
        past: the cuts until now.
        told: whether the server knew of the success at this cut.
    """
    if ended.problems:
        return list(ended.problems)
    if ended.older:  # each boot that the power ends before the system is marked good takes one of its attempts
        return [] if cuts >= ATTEMPTS else [f"the system before was booted after {cuts} power cuts"]
    recording, office = rig.recording, rig.office
    if office is None:
        raise RuntimeError("the device was never switched on")
    runs_new = rig.digest(ended.running) == recording.new.sha256
    # GRUB's script has one attempt for each boot: a confirmed system whose boot is cut loses its turn. It is still a whole
    # system that runs then, but not the one that the server was told of.
    lost_turn = rig.grub and past.proved and not runs_new
    problems = _environment(rig, ended.running, first=not lost_turn)
    problems += _unbootable(rig, _picks(rig, rig.flash.load().variables))
    problems += _audited(rig)
    problems += [f"{path.name} was put aside" for path in (rig.home / "state").glob("*.broken")]
    if rig.document("record").get("state", "idle") != "idle":
        problems.append("the record is not idle")
    if rig.document("outbox").get("entries"):
        problems.append("the outbox is not empty")
    action = office.state.actions.get(recording.action_id)
    if action is None:
        return problems + ["the new system runs, but nobody wanted it"] * runs_new
    if lost_turn and told:
        return problems + one_end(action, past)
    problems += _told(recording, ended, action, runs_new, cuts, past)
    if action.status not in _ENDS:
        return problems
    problems += _remembered(rig, action.status)
    floor = rig.document("facts").get("floor", "")
    if not lost_turn and (floor == recording.floor) != (action.status == "FINISHED"):
        problems.append(f"the floor is {floor!r} after {action.status}")
    return problems


def server_key(state: State) -> str:
    """The same for servers that know the same, whenever they learned it."""
    actions = [
        (action.id, action.status, [(entry.type, entry.messages, entry.code) for entry in action.entries])
        for action in state.actions.values()
    ]
    target = state.targets[CONTROLLER]
    installed = state.installed_action(target)
    return repr((actions, sorted(target.attributes.items()), target.request_attributes, installed and installed.id))


def _damaged(name: str, content: Content) -> bool:
    if not name.startswith("state/") or not name.endswith(".json"):
        return False
    try:
        return not isinstance(json.loads(content.data()), dict)
    except ValueError:
        return True


def _picks(rig: Rig, variables: Mapping[str, str]) -> list[str]:
    """What the boot script picks, again and again, when nothing that it boots ever comes up."""
    picked: list[str] = []
    for _ in range(_BOOTS):
        choice = rig.choose(variables, tuple(rig.slots))
        if choice is None:
            break
        picked.append(choice.bootname)
        variables = choice.variables
    return picked


def _unbootable(rig: Rig, picked: list[str]) -> list[str]:
    if not picked:
        return ["the boot script finds no slot"]
    recording = rig.recording
    whole = (recording.old.sha256, recording.new.sha256, recording.before)
    return [
        f"slot {name} would be booted, but is half-written" for name in set(picked) if rig.digest(name) not in whole
    ]


def _environment(rig: Rig, running: str, *, first: bool) -> list[str]:
    variables = rig.flash.load().variables
    problems = ["something is still on trial"] if variables.get("OTA_TRIAL") else []
    full = {f"BOOT_{running}_LEFT": f"{ATTEMPTS:x}"}
    if rig.grub:
        full = {f"{running}_OK": "1", f"{running}_TRY": "0"}
    if not full.items() <= variables.items():
        problems.append("the running slot does not have its attempts back")
    if first and variables.get("ORDER" if rig.grub else "BOOT_ORDER", "").split()[:1] != [running]:
        problems.append("the running slot is not the first choice")
    return problems


def _audited(rig: Rig) -> list[str]:
    directory = rig.home / "state" / "audit"
    try:
        events = [str(each.values["event"]) for _, each in Files(directory).steps()]
    except Broken as broken:
        return [f"audit record {broken.seq} is not in order: {broken.why}"]
    strange = {"audit-damaged", "audit-gap", "audit-off"} & set(events)
    return [f"the audit log tells of {' '.join(strange)}"] * bool(strange) + ["nothing was recorded"] * (not events)


def _ends_of(action: Action) -> list[str]:
    return [entry.type for entry in action.entries if entry.type in _ENDS]


def one_end(action: Action, past: Past) -> list[str]:
    """What is wrong with what the server has heard of the end of an action."""
    ends = _ends_of(action)
    again = past.doubts if set(ends) == {"CANCELED"} else 0
    if 1 <= len(ends) <= 1 + again and action.status in _ENDS:
        return []
    return [f"the server has heard {ends or 'nothing'} and takes the action for {action.status}"]


def _told(recording: Recording, ended: Ended, action: Action, runs_new: bool, cuts: int, past: Past) -> list[str]:
    problems = one_end(action, past)
    if (action.status == "FINISHED") != runs_new:
        problems.append(f"the server takes the action for {action.status}, but slot {ended.running} runs")
    verdicts = {word for word, _, _ in ended.words if word.startswith("deploymentBase")}
    if len(verdicts) > 1:
        problems.append("it said one thing and then another")
    for word, booted, trial in ended.words:
        if word == "deploymentBase success" and (booted != recording.new.bootname or trial):
            problems.append(f"success was said by slot {booted}, trial {trial!r}")
    scenario = recording.scenario
    if scenario.system == "healthy" and scenario.bootloader == "uboot" and not scenario.cancelled and cuts <= 2:
        if action.status != "FINISHED":
            problems.append(f"a healthy update ended as {action.status}: {' '.join(ended.errors)}")
    elif scenario.system != "healthy" and action.status == "FINISHED":
        problems.append("an update that is not healthy was taken for a success")
    return problems


def _remembered(rig: Rig, verdict: str) -> list[str]:
    recording, problems = rig.recording, []
    done = verdict == "FINISHED"
    name, known = recording.new.bootname, from_json(rig.document("slots"))
    held, status = known.group(name), known.slot(f"rootfs.{list(rig.slots).index(name)}")
    if done and (held.state, held.version) != ("confirmed", recording.new.version):
        problems.append(f"the status of the new group is {held}")
    if not done and held.state == "confirmed" and held.version == recording.new.version:
        problems.append("the group is remembered as confirmed")
    if (status.status == "ok" and status.sha256 != rig.digest(name)) or (done and status.status != "ok"):
        problems.append(f"the slot is said to be {status.status or 'unknown'}, digest {status.sha256[:16]}")
    ending = rig.document("ending")
    outcome = {"FINISHED": "success", "ERROR": "failure", "CANCELED": "cancelled"}[verdict]
    if ending.get("action_id") == recording.action_id and ending.get("outcome") != outcome:
        problems.append(f"the device remembers {ending.get('outcome')}, the server was told {verdict}")
    return problems
