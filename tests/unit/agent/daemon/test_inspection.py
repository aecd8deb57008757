"""What the preflight makes of the server's words, and of a bundle that runs already."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.offers import Action, Hawkbit, artifact, chunk
from support.pretend import Clock, Disk, Environment, context

from agent.daemon.activities import stage as staging_file
from agent.daemon.activities.offer import as_offered, offered
from agent.daemon.activities.stage import Quarters, inspecting
from agent.daemon.context import Context
from agent.daemon.machine import Event, State
from agent.daemon.record import Record
from agent.daemon.slot_status import Content
from agent.errors import OtaError, PolicyError
from agent.hawkbit.phases import switching_text
from agent.wire import Frame

HASH = "ab" * 32
IMAGES = [{"class": "rootfs", "filename": "r.img", "size": 10, "type": "raw"}]
INSPECTED = {
    "op": "inspected", "compatible": "demo", "version": "2.0.0", "manifest_hash": HASH, "format": "verity",
    "restriction": "", "signer": "vendor", "signed_at": 5, "handler": True, "images": IMAGES,
}  # fmt: skip


class Stage:
    """A device that inspects a bundle whose content a test chooses."""

    def __init__(self, action: Action, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hawkbit = Hawkbit(Clock())
        self.hawkbit.assign(action)
        self.environment = Environment()
        self.here: Context = context(Disk(), self.environment, server=self.hawkbit)
        monkeypatch.setattr(staging_file, "work", lambda *_: Frame(INSPECTED))

    def record(self) -> Record:
        link = self.hawkbit.poll().deployment
        assert link is not None
        return Record(state=State.OFFERED, origin="server", action_id="7", href=link.href)

    def inspect(self, *, healthy: bool = True, **changes: object) -> tuple[Event, Record]:
        step = inspecting(self.here, replace(offered(self.here, self.record()).record, **changes), healthy=healthy)  # type: ignore[arg-type]  # its fields
        return step.event, step.record

    def holds(self, state: str = "confirmed", manifest_hash: str = HASH) -> None:
        content = Content(state, "2.0.0", manifest_hash)
        self.here.knowledge.change_holdings(lambda now: now.with_group("A", content))

    @property
    def codes(self) -> list[int | None]:
        return [message.code for message in self.hawkbit.said]


def switched(manifest_hash: str = HASH) -> Action:
    return Action("7", history=("Device reported status code: 150", switching_text("2.0.0", "A", manifest_hash)))


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(switched(), monkeypatch)


@pytest.mark.req("S08")
def test_what_runs_by_this_action_is_not_installed_again(stage: Stage) -> None:
    stage.holds()
    event, record = stage.inspect()
    assert (event, record.outcome, record.target) == (Event.PRESENT, "success", "A")


@pytest.mark.parametrize(
    ("state", "held"), [("confirmed", "cd" * 32), ("activated", HASH), ("bad", HASH), ("installed", HASH), ("", "")]
)
def test_what_is_not_known_to_run_confirmed_is_installed(stage: Stage, state: str, held: str) -> None:
    stage.holds(state, held)
    assert stage.inspect()[0] is Event.DONE


def test_a_system_that_is_not_healthy_is_no_success(stage: Stage) -> None:
    stage.holds()
    assert stage.inspect(healthy=False)[0] is Event.DONE


def test_a_trial_that_is_not_over_is_no_success(stage: Stage) -> None:
    stage.holds()
    stage.environment.variables["OTA_TRIAL"] = "A,7,abababababababab"
    assert stage.inspect()[0] is Event.DONE


@pytest.mark.parametrize("action", [Action("7"), switched("cd" * 32)])
def test_without_a_word_of_this_action_about_it_the_same_bundle_is_installed(
    action: Action, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(action, monkeypatch)
    stage.holds()
    assert stage.inspect()[0] is Event.DONE


@pytest.mark.parametrize(("by", "event"), [("7", Event.PRESENT), ("6", Event.DONE), ("-", Event.DONE)])
def test_what_is_noted_with_the_slot_is_as_good_as_the_servers_memory(
    by: str, event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(Action("7"), monkeypatch)
    stage.holds()
    known = stage.here.knowledge.holdings().slot("rootfs.0")
    noted = replace(known, installed_transaction=f"{by} {HASH}")
    stage.here.knowledge.change_holdings(lambda now: now.with_slots({"rootfs.0": noted}))
    assert stage.inspect()[0] is event


def test_another_version_than_announced_is_told_and_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(Action("7", chunks=(chunk(version="17"),)), monkeypatch)
    event, record = stage.inspect()
    assert (event, record.version) == (Event.DONE, "2.0.0")
    assert stage.codes == [110, 111]
    assert "17" in stage.hawkbit.said[-1].details[0]


@pytest.mark.parametrize(("demanded", "good"), [("2.0.0", True), ("2.0.1", False)])
def test_a_version_that_the_metadata_demands_is_a_condition(
    demanded: str, good: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(Action("7", chunks=(chunk(**{"ota-agent:version": demanded}),)), monkeypatch)
    if good:
        assert stage.inspect()[0] is Event.DONE
        return
    with pytest.raises(PolicyError) as caught:
        stage.inspect()
    assert caught.value.code == "ddi.metadata-mismatch"


MANY = (
    chunk(artifact("app-a.raucb"), artifact("notes.txt"), part="application"),
    chunk(artifact("os-gateway.raucb", "b"), artifact("os-hub.raucb", "c")),
)


@pytest.mark.parametrize(
    ("part", "name", "found"),
    [
        ("application", "", "app-a.raucb"),
        ("", "*-gateway.raucb", "os-gateway.raucb"),
        ("os", "*hub*", "os-hub.raucb"),
        ("application", "notes.*", "notes.txt"),
    ],
)
def test_the_bundle_is_chosen_by_the_rules_of_the_device(
    part: str, name: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(Action("7", chunks=MANY), monkeypatch)
    stage.here.config.server.bundle_part, stage.here.config.server.bundle_name = part, name  # type: ignore[misc]  # a namespace
    assert offered(stage.here, stage.record()).record.name == found


@pytest.mark.parametrize(("part", "name"), [("", ""), ("os", ""), ("", "*.swu"), ("firmware", "")])
def test_what_cannot_be_chosen_is_refused_before_any_download_and_says_what_there_was(
    part: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(Action("7", chunks=MANY), monkeypatch)
    stage.here.config.server.bundle_part, stage.here.config.server.bundle_name = part, name  # type: ignore[misc]  # a namespace
    with pytest.raises(OtaError) as caught:
        offered(stage.here, stage.record())
    assert (caught.value.code, caught.value.retryable) == ("ddi.unsupported-deployment", False)
    assert "os-gateway.raucb (os rootfs)" in caught.value.details
    assert (part or name) in caught.value.details


def test_a_phase_is_told_once_however_often_it_begins_again(stage: Stage) -> None:
    record = offered(stage.here, stage.record()).record
    for _ in range(20):
        record = offered(stage.here, record).record
    assert stage.codes == [110]


def test_a_long_writing_is_told_in_quarters_and_a_short_one_is_not(stage: Stage) -> None:
    record = as_offered(stage.here, stage.record(), stage.hawkbit.deployment("deploymentBase/7"))
    record = replace(record, told=140)
    for seconds in (0.1, 5.0):
        quarters = Quarters(stage.here)
        for done in range(101):
            stage.here.clock.now += seconds  # type: ignore[attr-defined]  # a clock of tests
            frame = Frame({"op": "progress", "stage": "written", "bytes": done, "of": 100})
            record = quarters.look(frame, record)
    assert stage.codes == [141, 142, 143]
    assert record.told == 143


def test_another_bundle_that_was_only_downloaded_does_not_take_the_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(Action("7"), monkeypatch)
    stage.here.config.system.state_dir = tmp_path  # type: ignore[misc]  # a namespace in tests
    ours, other = f"spool-{'a' * 32}", f"spool-{'b' * 32}"
    for name in (f"{ours}.raucb", f"{ours}.part", f"{other}.raucb"):
        (tmp_path / name).touch()
    stage.inspect()
    assert sorted(path.stem for path in tmp_path.iterdir()) == [ours, ours], "what came of this one is gone on with"
