"""hawkBit's staged rollouts. What its scheduler does every two seconds happens here at once, until nothing changes.

Read from ``JpaRolloutManagement``, ``JpaRolloutExecutor`` and the conditions and actions of groups of hawkBit 1.0.4.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.demo import server_actions as actions
from agent.demo.server_filter import parse_filter
from agent.demo.server_rollout_values import Group, Rollout, share_out
from agent.demo.server_state import State
from agent.demo.server_values import SERVER, Action, Refused, now_ms

STOPPABLE = ("CREATING", "READY", "STARTING", "RUNNING", "PAUSED")
_STEPS = 10_000  # more than any rollout needs: every step ends a state of a group or of the rollout


def create(state: State, rollout: Rollout) -> None:
    """Takes in a rollout; its groups must take all the targets that there are."""
    actions.check_assignable(rollout.ds)
    if any(other.name == rollout.name and other.status != "DELETED" for other in state.rollouts.values()):
        raise Refused(409, "a rollout of this name exists already")
    found = len(_matching(state, rollout))
    if found == 0:
        raise _invalid("the rollout does not match any existing targets")
    if sum(share_out(rollout.groups, found)) != found:
        raise _invalid("Rollout groups don't match all targets that are targeted by the rollout")
    actions.lock(state, rollout.ds)
    rollout.total = found
    state.rollouts[rollout.id] = rollout
    state.changes += 1


def _invalid(why: str) -> Refused:
    return Refused(400, why, "hawkbit.server.error.repo.constraintViolation")


def _matching(state: State, rollout: Rollout) -> list[str]:
    fits = parse_filter(rollout.query)
    return [t.controller_id for t in state.targets.values() if t.created <= rollout.created and fits(t)]


def start(state: State, rollout: Rollout) -> None:
    """Makes an action for every target, and begins with the first group."""
    _needs(rollout, "READY", "started")
    _set(state, rollout, "STARTING")


def pause(state: State, rollout: Rollout) -> None:
    """No further group begins; those that have begun go on."""
    _needs(rollout, "RUNNING", "paused")
    _set(state, rollout, "PAUSED")


def resume(state: State, rollout: Rollout) -> None:
    """Goes on; with the next group when the last one failed, or was to be looked at after its success."""
    _needs(rollout, "PAUSED", "resumed")
    begun = [group for group in rollout.groups if group.status != "SCHEDULED"]
    if begun:
        last = begun[-1]
        looked_at = last.conditions.success_action == "PAUSE" and succeeded(rollout, last)
        if last.status == "ERROR" or looked_at:
            _start_next(state, rollout, last)
    _set(state, rollout, "RUNNING")


def trigger_next(state: State, rollout: Rollout) -> None:
    """Begins the next group whatever the conditions say."""
    _needs(rollout, "RUNNING", "triggered")
    if not any(group.status == "SCHEDULED" for group in rollout.groups):
        raise _illegal("the rollout has no group left")
    _start_next(state, rollout, [group for group in rollout.groups if group.status != "SCHEDULED"][-1])
    state.changes += 1


def stop(state: State, rollout: Rollout) -> None:
    """Cancels what is under way, and begins nothing any more."""
    if rollout.status not in STOPPABLE:
        raise _illegal("the rollout cannot be stopped")
    _set(state, rollout, "STOPPING")


def delete(state: State, rollout: Rollout) -> None:
    """Ends it by force."""
    if rollout.status not in ("DELETING", "DELETED"):
        _set(state, rollout, "DELETING")


def recall(state: State, set_id: str, how: str) -> None:
    """A release is invalid: its rollouts stop, or are deleted with ``force``."""
    for rollout in state.rollouts.values():
        if rollout.ds.id == set_id and rollout.status in STOPPABLE and how != "none":
            _set(state, rollout, "STOPPING" if how == "soft" else "DELETING")


def _needs(rollout: Rollout, status: str, what: str) -> None:
    if rollout.status != status:
        raise _illegal(f"a rollout can only be {what} in state {status.lower()}, not {rollout.status.lower()}")


def _illegal(why: str) -> Refused:
    return Refused(400, why, "hawkbit.server.error.rollout.illegalState")


def _set(state: State, rollout: Rollout, status: str) -> None:
    rollout.status = status
    state.changes += 1


def run(state: State) -> None:
    """Lets the scheduler work until nothing changes; cheap when nothing has changed since the last time."""
    for _ in range(_STEPS):
        if state.changes == state.scheduled_at:
            return
        state.scheduled_at = state.changes
        for rollout in list(state.rollouts.values()):
            if (step := _HANDLERS.get(rollout.status)) is not None:
                step(state, rollout)
    raise RuntimeError("a rollout does not come to rest")


def _fill(state: State, rollout: Rollout) -> None:
    found = _matching(state, rollout)
    for group, count in zip(rollout.groups, share_out(rollout.groups, len(found)), strict=True):
        group.targets, found = found[:count], found[count:]
        group.status = "READY"
    rollout.total = sum(len(group.targets) for group in rollout.groups)
    _set(state, rollout, "READY")


def _begin(state: State, rollout: Rollout) -> None:
    for group in rollout.groups:
        for controller_id in group.targets:
            _schedule(state, rollout, group, controller_id)
        group.status = "SCHEDULED"
    _activate(state, rollout, rollout.groups[0])
    _set(state, rollout, "RUNNING")


def _schedule(state: State, rollout: Rollout, group: Group, controller_id: str) -> None:
    if controller_id not in state.targets:
        return
    for other in state.actions_of(controller_id):
        if not other.active and other.status == "SCHEDULED":
            state.change(other, "CANCELED")
    action = Action(
        state.new_id(), controller_id, rollout.ds, rollout.force, status="SCHEDULED", active=False,
        force_time=rollout.force_time, created=now_ms(), rollout=rollout.id,
    )  # fmt: skip
    state.add_action(action)
    group.actions.append(action)


def _activate(state: State, rollout: Rollout, group: Group) -> None:
    for action in group.actions:
        if action.status != "SCHEDULED":
            continue
        target = state.targets[action.controller_id]
        if target.assigned is rollout.ds:
            state.close(action, "FINISHED")
            said = (f"{SERVER}Distribution Set is already assigned. Skipping this action.",)
            state.record(action, "RUNNING", said, timestamp=action.created)
            continue
        actions.set_aside(state, action.controller_id)
        state.open(action, "RUNNING")
        message = f"Initiated by Rollout Group '{group.name}' [Rollout {rollout.name}:{rollout.id}]"
        actions.begin(state, action, group.confirm, message)
        target.assigned, target.update_status = rollout.ds, "PENDING"
    group.status = "RUNNING"
    state.changes += 1


def _start_next(state: State, rollout: Rollout, group: Group) -> None:
    following = _after(rollout, group)
    if following is not None and following.status == "SCHEDULED":
        _activate(state, rollout, following)


def _after(rollout: Rollout, group: Group) -> Group | None:
    index = rollout.groups.index(group) + 1
    return rollout.groups[index] if index < len(rollout.groups) else None


def _go_on(state: State, rollout: Rollout) -> None:
    running = [group for group in rollout.groups if group.status == "RUNNING"]
    if not running and any(group.status == "SCHEDULED" for group in rollout.groups):
        trigger_next(state, rollout)
    for group in running:
        _forget_deleted(state, rollout, group)
        if failed(group):
            _set_group(state, group, "ERROR")
            if rollout.status == "RUNNING":
                pause(state, rollout)
            continue
        if succeeded(rollout, group):
            _succeed(state, rollout, group)
        if all(action.status in ("ERROR", "FINISHED", "CANCELED", rollout.done_status) for action in group.actions):
            _set_group(state, group, "FINISHED")
    if not any(group.status in ("RUNNING", "SCHEDULED") for group in rollout.groups):
        _set(state, rollout, "FINISHED")


def _set_group(state: State, group: Group, status: str) -> None:
    group.status = status
    state.changes += 1


def _forget_deleted(state: State, rollout: Rollout, group: Group) -> None:
    group.targets = [target for target in group.targets if target in state.targets]
    group.actions = [action for action in group.actions if action.id in state.actions]
    rollout.total = sum(len(each.targets) for each in rollout.groups)


def _succeed(state: State, rollout: Rollout, group: Group) -> None:
    following = _after(rollout, group)
    if group.conditions.success_action == "NEXTGROUP":
        _start_next(state, rollout, group)
    elif following is not None and following.status == "SCHEDULED" and rollout.status == "RUNNING":
        pause(state, rollout)


def succeeded(rollout: Rollout, group: Group) -> bool:
    """At least so many percent have it. A group without targets is a success."""
    return 100 * _count(group, rollout.done_status) >= int(group.conditions.success) * len(group.targets)


def failed(group: Group) -> bool:
    """More than so many percent have failed."""
    return 100 * _count(group, "ERROR") > int(group.conditions.error) * len(group.targets)


def _count(group: Group, status: str) -> int:
    return sum(action.status == status for action in group.actions)


def _halt(state: State, rollout: Rollout) -> None:
    _end(state, rollout.groups)
    for action in _active(rollout):
        if action.status != "CANCELING":
            state.change(action, "CANCELING")
            state.record(action, "CANCELING", (f"{SERVER}A cancellation has been performed by server.",))
    _set(state, rollout, "STOPPED")


def _remove(state: State, rollout: Rollout) -> None:
    _end(state, rollout.groups)
    for action in _active(rollout):
        state.record(action, "CANCELED", (f"{SERVER}A force quit has been performed by server.",))
        actions.cancelled(state, action)
    if any(group.actions for group in rollout.groups):
        _set(state, rollout, "DELETED")
    else:
        del state.rollouts[rollout.id]


def _active(rollout: Rollout) -> list[Action]:
    return [action for group in rollout.groups for action in group.actions if action.active]


def _end(state: State, groups: Sequence[Group]) -> None:
    for group in groups:
        for action in [action for action in group.actions if action.status == "SCHEDULED"]:
            group.actions.remove(action)
            state.remove_action(action)
        if group.status not in ("FINISHED", "ERROR"):
            group.status = "FINISHED"


_HANDLERS = {
    "CREATING": _fill,
    "STARTING": _begin,
    "RUNNING": _go_on,
    "STOPPING": _halt,
    "DELETING": _remove,
}
