"""Our own device at every server: the real daemon and fetcher; what the operator sees afterwards is the truth."""

from __future__ import annotations

import pytest
from fleet.device import Device
from fleet.systems import DEAD, SICK

from agent.daemon.machine import State
from hawkbit.bench import NEW, OLD, Bench, Run


@pytest.mark.req("S02")
def test_a_good_update_is_a_success_after_the_confirmed_boot(bench: Bench) -> None:
    run = bench.update()
    assert run.running == NEW
    assert run.kinds[-1] == "finished"
    assert run.known()["updateStatus"] == "in_sync"
    assert (bench.lab.operator.installed(run.name) or {})["version"] == NEW
    assert [(word[1], word[2], word[3]) for word in run.device.seen.words] == [("closed success", NEW, True)]


def test_the_operator_can_follow_an_update(bench: Bench) -> None:
    kinds = bench.update().kinds
    assert kinds[0] == "running"
    assert "retrieved" in kinds and "running" in kinds[kinds.index("retrieved") :]
    assert len(kinds) < 30


@pytest.mark.feature("management", "quiet-ranges")
def test_a_download_leaves_no_entry_of_the_servers_own(bench: Bench) -> None:
    assert "download" not in bench.update().kinds


def test_what_a_device_is_arrives_with_the_first_poll_and_changes_after_the_update(bench: Bench) -> None:
    run = bench.update()
    assert NEW in bench.lab.operator.attributes(run.name).values()


@pytest.mark.req("S07")
@pytest.mark.parametrize("health", [SICK, DEAD])
def test_a_fallback_is_a_failure_with_its_reason(bench: Bench, health: str) -> None:
    run = bench.update(health)
    assert run.running == OLD
    assert run.kinds[-1] == "error"
    assert run.known()["updateStatus"] == "error"
    assert bench.lab.operator.installed(run.name) is None
    assert "boot.fallback" in run.texts or "health.failed" in run.texts


@pytest.mark.req("S05")
def test_a_bundle_that_is_refused_is_a_failure_with_its_reason(bench: Bench) -> None:
    run = bench.update(signer="other")
    assert (run.running, run.kinds[-1]) == (OLD, "error")
    assert "bundle.signature-untrusted" in run.texts


def test_a_cancellation_before_the_download_is_acknowledged(bench: Bench) -> None:
    run = bench.update(
        at=State.OFFERED, act=lambda device, action: bench.lab.operator.cancel(device.controller_id, action)
    )
    assert (run.running, run.kinds[-1]) == (OLD, "canceled")
    assert run.known()["updateStatus"] in ("in_sync", "registered", "unknown")


def test_a_cancellation_on_trial_does_not_disturb_the_update(bench: Bench) -> None:
    run = bench.update(
        at=State.TRIAL, act=lambda device, action: bench.lab.operator.cancel(device.controller_id, action)
    )
    assert (run.running, run.kinds[-1]) == (NEW, "finished")
    assert (bench.lab.operator.installed(run.name) or {})["version"] == NEW


def test_an_action_that_vanishes_before_the_download_leaves_the_old_system(bench: Bench) -> None:
    def quit_by_force(device: Device, action: int) -> None:
        bench.lab.operator.cancel(device.controller_id, action)
        bench.lab.operator.cancel(device.controller_id, action, force=True)

    run = bench.update(at=State.OFFERED, act=quit_by_force)
    assert run.running == OLD
    assert not run.device.document("outbox").get("entries")


def test_a_download_only_action_ends_with_downloaded(bench: Bench) -> None:
    run = bench.update(type="downloadonly")
    assert (run.running, run.kinds[-1]) == (OLD, "downloaded")
    assert bench.lab.operator.installed(run.name) is None


def test_a_soft_action_is_installed_where_the_device_allows_it(bench: Bench) -> None:
    run = bench.update(type="soft")
    assert (run.running, run.kinds[-1]) == (NEW, "finished")


def test_a_second_assignment_replaces_the_first(bench: Bench) -> None:
    device = bench.device()
    operator = bench.lab.operator
    first = operator.assign(bench.set(SICK), device.controller_id)
    second = operator.assign(bench.set(), device.controller_id)
    device.live()
    assert Run(bench.lab, device, first).kinds[-1] == "canceled"
    assert Run(bench.lab, device, second).kinds[-1] == "finished"
    assert device.board.system.version == NEW


def test_a_device_with_the_gateway_token_makes_itself_known(bench: Bench) -> None:
    device = bench.device(("gateway", bench.lab.instance.gateway_token))
    device.live()
    assert bench.lab.operator.call("GET", f"/targets/{device.controller_id}")["updateStatus"] == "registered"
    assert OLD in bench.lab.operator.attributes(device.controller_id).values()


@pytest.mark.req("C08")
@pytest.mark.feature("management", "confirmation")
def test_a_deployment_that_waits_is_confirmed_by_a_device_that_is_set_up_so(bench: Bench) -> None:
    with bench.lab.configured("user.confirmation.flow.enabled", True, False):
        run = bench.update(settings={"server.confirmation": "confirm"})
    assert (run.running, run.kinds[-1]) == (NEW, "finished")


@pytest.mark.req("C08")
@pytest.mark.feature("management", "confirmation")
def test_a_deployment_is_denied_once_however_often_it_is_offered(bench: Bench) -> None:
    with bench.lab.configured("user.confirmation.flow.enabled", True, False):
        run = bench.update(settings={"server.confirmation": "deny"}, polls=20)
    assert run.running == OLD
    assert run.kinds.count("wait_for_confirmation") == 2  # the question, and our answer
    assert bench.lab.known(run.name, f"TargetToken token-of-{run.name}").offer() == f"confirmationBase/{run.action}"
