"""The proof in small: some hundred states of two updates, and defects that must be found. ``make crash`` is the whole."""

from __future__ import annotations

from random import Random

import pytest

from crash.alterations import DEFECTS
from crash.content import Content
from crash.explore import Explorer, Findings, Moment, moments
from crash.record import Recording, record
from crash.rig import Rig
from crash.scenarios import SCENARIOS, Scenario
from crash.variants import altered, without_flushes

UBOOT, FAT = Scenario("uboot", "healthy"), Scenario("fat", "sick")
STATES = 200  # of each recording


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[Scenario, Recording]:
    folder = tmp_path_factory.mktemp("crash")
    return {scenario: record(scenario, folder / scenario.name) for scenario in (UBOOT, FAT)}


def explored(recording: Recording, states: int, enough: int = 1000) -> Findings:
    return Explorer([recording], seed=1, share=(0, 1), limit=states, seconds=240, enough=enough).run()


def test_scenarios_have_names_of_their_own() -> None:
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)
    assert {UBOOT, FAT} <= set(SCENARIOS)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.req("S08", "S07", "S33")
@pytest.mark.parametrize("scenario", [UBOOT, FAT], ids=lambda each: each.name)
def test_no_power_cut_bricks_the_device_or_makes_it_lie(
    recordings: dict[Scenario, Recording], scenario: Scenario
) -> None:
    found = explored(recordings[scenario], STATES)
    assert found.violations == []
    assert len(found.keys) == STATES
    assert min(found.kinds.values()) > STATES // 10, "both single cuts and cuts during the recovery"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.req("S08")
@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_of_the_agent_is_found(
    recordings: dict[Scenario, Recording], defect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The altered agent only runs after the first cut, so there are more second ones; a missing network would excuse it."""
    monkeypatch.setattr("crash.explore._AGAIN", {2: 6})
    monkeypatch.setattr("crash.explore._OFFLINE", (0,))
    found = explored(altered(recordings[UBOOT], defect), 4 * STATES, enough=1)
    assert found.violations, f"{len(found.keys)} states, and nobody noticed"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.req("S08")
@pytest.mark.parametrize("path", ["slots/rootfs-b.img", "uboot.env"])
def test_a_missing_flush_is_found(recordings: dict[Scenario, Recording], path: str) -> None:
    found = explored(without_flushes(recordings[UBOOT], path), 4 * STATES, enough=1)
    assert found.violations, f"{len(found.keys)} states, and nobody noticed"


@pytest.mark.timeout(300)
@pytest.mark.req("S08")
def test_a_success_that_was_lost_before_it_was_told_is_told_as_a_failure(recordings: dict[Scenario, Recording]) -> None:
    recording = recordings[UBOOT]
    every = list(moments(recording))
    waiting = next(moment for moment in every if b'"success"' in outbox(moment))
    rig = Rig(recording)
    try:
        rig.put({**kept(every[-1]), "state/outbox.json": kept(waiting)["state/outbox.json"]})
        rig.flash.save({**rig.flash.load().variables, "BOOT_ORDER": "A B"})  # as after three boots that failed
        ended = rig.live(waiting.server, 1)
        assert ended.running == "A"
        assert [word for word, _, _ in ended.words] == ["deploymentBase failure"]
        assert rig.office is not None
        assert rig.office.state.actions[recording.action_id].status == "ERROR"
        assert rig.document("ending")["outcome"] == "failure"
        assert rig.flash.load().variables["BOOT_ORDER"] == "A"
    finally:
        rig.close()


def kept(moment: Moment) -> dict[str, Content]:
    return dict(moment.disk.survivors(Random(0), "everything"))


def outbox(moment: Moment) -> bytes:
    found = kept(moment).get("state/outbox.json")
    return found.data() if found else b""
