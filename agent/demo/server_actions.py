"""hawkBit's state machine of actions: how they begin, are taken back and end.

Read from ``JpaDeploymentManagement``, ``JpaControllerManagement`` and ``DeploymentHelper`` of hawkBit 1.0.4.
"""

from __future__ import annotations

from agent.demo.server_config import AUTOCLOSE, CONFIRMATION, IMPLICIT_LOCK
from agent.demo.server_state import State
from agent.demo.server_values import FORCE_TYPES, SERVER, Action, DistributionSet, Refused, Target, Terms, now_ms


def assign(
    state: State, controller_id: str, ds: DistributionSet, terms: Terms | None = None, *, user: str = "admin"
) -> Action | None:
    """Gives a set to a target; None when the target has it assigned already.

    Actions that are still open are cancelled, or closed at once (``repository.actions.autoclose.enabled``), unless their
    set is a required step of a migration.
    """
    terms = terms or Terms()
    if terms.force not in FORCE_TYPES:
        raise Refused(400, "unknown type of assignment")
    target = state.find_target(controller_id)
    check_assignable(ds)
    if target.assigned is ds:
        return None
    lock(state, ds)
    set_aside(state, controller_id)
    for other in state.actions_of(controller_id):
        if not other.active and other.status == "SCHEDULED":
            state.change(other, "CANCELED")
    action = Action(
        state.new_id(), controller_id, ds, terms.force, force_time=terms.force_time, schedule=terms.schedule,
        created=now_ms(),
    )  # fmt: skip
    state.add_action(action)
    target.assigned, target.update_status = ds, "PENDING"
    begin(state, action, terms.confirm is not False, f"Assignment initiated by user '{user}'", user)
    return action


def begin(state: State, action: Action, confirm: bool, message: str, user: str = "admin") -> None:
    """The first status of an action that has become active, and the first line of its history."""
    auto = state.targets[action.controller_id].auto_confirm
    if not state.config.flag(CONFIRMATION):
        state.change(action, "RUNNING")
        state.record(action, "RUNNING", (message,), timestamp=action.created)
        return
    if not confirm:
        said = f"Assignment confirmed by initiator [{user}]."
    elif auto is not None:
        said = auto.message
    else:
        said = "Waiting for the confirmation by the device before processing with the deployment"
    state.change(action, "WAIT_FOR_CONFIRMATION" if confirm and auto is None else "RUNNING")
    state.record(action, "WAIT_FOR_CONFIRMATION", (message, said), timestamp=action.created)


def set_aside(state: State, controller_id: str) -> None:
    """A new update is to come: the open ones are cancelled or closed."""
    for other in state.open_actions(controller_id):
        if other.ds.migration_step:
            continue
        if state.config.flag(AUTOCLOSE):
            state.close(other, "CANCELED")
            state.record(other, "CANCELED", (f"{SERVER}close obsolete action due to new update",))
        elif other.status != "CANCELING":
            state.change(other, "CANCELING")
            state.record(other, "CANCELING", (f"{SERVER}cancel obsolete action due to new update",))


def check_assignable(ds: DistributionSet) -> None:
    """Refuses a set that is invalid or has no modules."""
    if not ds.valid:
        raise Refused(400, "the distribution set is invalid", "hawkbit.server.error.distributionset.invalid")
    if not ds.modules:
        raise Refused(400, "the distribution set is incomplete", "hawkbit.server.error.distributionset.incomplete")


def lock(state: State, ds: DistributionSet) -> None:
    """From the first assignment on neither a set nor its modules change (``implicit.lock.enabled``)."""
    if state.config.flag(IMPLICIT_LOCK):
        ds.locked = True
        for module in ds.modules:
            module.locked = True


def report_installed(state: State, controller_id: str, ds: DistributionSet, user: str) -> Action | None:
    """An update without the server's help; None when the set is assigned already, or another update is pending."""
    target = state.find_target(controller_id)
    check_assignable(ds)
    if target.assigned is ds or target.update_status == "PENDING":
        return None
    lock(state, ds)
    now = now_ms()
    action = Action(state.new_id(), controller_id, ds, status="FINISHED", active=False, created=now)
    state.add_action(action)
    messages = (f"Assignment initiated by user '{user}'", f"{SERVER}Action reported as offline deployment")
    state.record(action, "FINISHED", messages, timestamp=now)
    target.assigned = target.installed = ds
    target.installed_at, target.update_status = now, "IN_SYNC"
    return action


def cancel(state: State, action: Action) -> None:
    """The operator takes an action back, softly: the device is asked."""
    if action.cancelling_or_cancelled or not action.active:
        raise Refused(405, "the action cannot be cancelled", "hawkbit.server.error.action.notCancelable")
    state.change(action, "CANCELING")
    state.record(action, "CANCELING", (f"{SERVER}manual cancelation requested",))


def force_quit(state: State, action: Action) -> None:
    """The operator ends an action without the device; only after a soft attempt."""
    if not action.cancelling:
        raise Refused(405, "the action cannot be force quit", "hawkbit.server.error.action.notForceQuitable")
    state.record(action, "CANCELED", (f"{SERVER}A force quit has been performed.",))
    cancelled(state, action)


def cancel_if_over(state: State, action: Action | None) -> None:
    """An action whose last maintenance window has passed is cancelled when the device looks at it."""
    if action is None or action.schedule is None or not action.schedule.is_over(now_ms()):
        return
    if action.active and not action.cancelling_or_cancelled:
        state.change(action, "CANCELING")
        state.record(action, "CANCELING", ("manual cancelation requested",))


def force(state: State, action: Action) -> None:
    """A soft action becomes a forced one; the other way is not possible."""
    if not action.forced(now_ms()):
        action.force = "forced"
        action.version += 1
        action.revision += 1


def retrieved(state: State, action: Action, message: str) -> None:
    """The device has read an action; noted once until something else happens, and even when it is closed."""
    if action.entries and action.entries[-1].type == "RETRIEVED":
        return
    state.record(action, "RETRIEVED", (SERVER + message,))
    if not action.cancelling_or_cancelled:
        state.change(action, "RETRIEVED")


def finish(state: State, action: Action, timestamp: int | None) -> None:
    """The device says that it runs the new system. An older time than that of the last installation changes nothing."""
    target = state.targets[action.controller_id]
    now = now_ms() if timestamp is None else timestamp
    state.close(action, "FINISHED")
    if target.installed_at is None or target.installed_at < now:
        target.installed, target.installed_at = action.ds, now
        if action.force == "downloadonly":
            target.assigned = action.ds
        if target.assigned is target.installed:
            target.update_status = "IN_SYNC"
    target.request_attributes = True


def fail(state: State, action: Action) -> None:
    """The device says that the update failed; the set can be assigned again."""
    target = state.targets[action.controller_id]
    state.close(action, "ERROR")
    target.assigned, target.update_status = None, "ERROR"


def downloaded(state: State, action: Action) -> None:
    """Closes a download-only action; for any other the message is information."""
    if action.force != "downloadonly":
        return
    target = state.targets[action.controller_id]
    state.close(action, "DOWNLOADED")
    target.update_status, target.request_attributes = "IN_SYNC", True


def cancelled(state: State, action: Action) -> None:
    """The device has stopped, or is not asked: what it is to have now is the next action's, else what it has."""
    target: Target = state.targets[action.controller_id]
    state.close(action, "CANCELED")
    following = state.current(action.controller_id)
    if following is not None:
        target.assigned = following.ds
    else:
        target.assigned, target.update_status = target.installed, "IN_SYNC"


def invalidate(state: State, ds: DistributionSet, how: str) -> None:
    """Recalls a release: nobody gets it any more, and what is under way is cancelled (``none``, ``soft``, ``force``)."""
    if not ds.valid:
        raise Refused(400, "the distribution set is invalid already", "hawkbit.server.error.distributionset.invalid")
    ds.valid = False
    if how == "none":
        return
    for action in list(state.actions.values()):
        if action.ds is not ds or not action.active:
            continue
        if action.status != "CANCELING":
            cancel(state, action)
        if how == "force":
            force_quit(state, action)
