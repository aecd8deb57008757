"""What holds an update back, for each profile: the table of docs/consent.md."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.pretend import POLICY

from agent.consent.facts import CLASSES, URGENCIES, Facts
from agent.consent.policy import deadline, postpone_total
from agent.consent.rules import Case, Hold, Stride, holds

GATES = (Hold.POWER, Hold.METERED, Hold.BUSY, Hold.INHIBITOR)
SECURITY, FUNCTIONAL = Facts(kind="security"), Facts(kind="functionality")
FACTS = st.builds(Facts, kind=st.sampled_from(["", *CLASSES]), urgency=st.sampled_from(["", *URGENCIES]))
POLICIES = st.builds(
    lambda **values: replace(POLICY, **values),
    profile=st.sampled_from(["consumer", "managed", "industrial"]),
    approval=st.sampled_from(["auto", "ask-install", "ask-download"]),
    auto_security=st.booleans(),
    auto_functionality=st.booleans(),
)
CASES = st.builds(
    Case, POLICIES, FACTS, forced=st.booleans(), consent=st.sampled_from(["", "given", "now"]), overdue=st.booleans(),
    postponed=st.booleans(), window=st.booleans(), shut=st.frozensets(st.sampled_from(GATES)),
)  # fmt: skip
STRIDES = st.sampled_from(Stride)


def case(
    profile: str = "consumer", facts: Facts = SECURITY, *, auto: bool = True, asks: str = "auto", **more: object
) -> Case:
    policy = replace(POLICY, profile=profile, approval=asks, auto_security=auto)
    return Case(policy, facts, **more)  # type: ignore[arg-type]  # its fields


@given(FACTS, st.booleans(), STRIDES)
def test_without_a_policy_everything_goes_on(facts: Facts, forced: bool, stride: Stride) -> None:
    assert holds(Case(POLICY, facts, forced=forced), stride) == ()


@pytest.mark.req("C05")
@given(CASES, STRIDES)
def test_in_a_consumers_device_the_opt_out_wins_over_everything_but_consent(now: Case, stride: Stride) -> None:
    if (
        now.policy.profile == "consumer"
        and not now.policy.auto_security
        and not now.facts.functional
        and not now.consent
    ):
        assert Hold.OPT_OUT in holds(now, stride)


@pytest.mark.req("C08")
@given(CASES)
def test_an_industrial_device_never_installs_what_nobody_there_has_approved(now: Case) -> None:
    if now.policy.profile == "industrial" and not now.consent:
        assert {Hold.CONSENT, Hold.OPT_OUT} & set(holds(now, Stride.INSTALL))


@given(CASES, STRIDES)
def test_in_a_managed_device_only_its_own_safety_holds_a_forced_update(now: Case, stride: Stride) -> None:
    if now.policy.profile == "managed" and now.forced:
        assert set(holds(now, stride)) <= {Hold.BUSY, Hold.INHIBITOR, Hold.POWER}


@pytest.mark.req("C04")
@given(CASES, STRIDES)
def test_after_the_deadline_a_consumers_device_waits_for_people_and_power_only(now: Case, stride: Stride) -> None:
    if now.policy.profile == "consumer" and now.overdue:
        assert set(holds(now, stride)) <= {Hold.CONSENT, Hold.OPT_OUT, Hold.POWER}


@given(CASES, STRIDES)
def test_consent_answers_every_question_and_now_waits_for_no_better_time(now: Case, stride: Stride) -> None:
    if now.consent:
        assert not {Hold.CONSENT, Hold.OPT_OUT} & set(holds(now, stride))
    if now.consent == "now":
        assert set(holds(now, stride)) <= {Hold.BUSY, Hold.INHIBITOR, Hold.POWER}


@given(CASES)
def test_power_is_never_overruled(now: Case) -> None:
    assert (Hold.POWER in holds(now, Stride.INSTALL)) is (Hold.POWER in now.shut)


@given(CASES)
def test_who_may_restart_could_have_installed_but_for_the_connection(now: Case) -> None:
    assert set(holds(now, Stride.INSTALL)) - {Hold.METERED} <= set(holds(now, Stride.RESTART))
    assert set(holds(now, Stride.DOWNLOAD)) <= set(holds(now, Stride.INSTALL))


@pytest.mark.parametrize(
    ("now", "download", "install", "restart"),
    [
        (case(asks="ask-install"), "", "consent", "consent"),
        (case(asks="ask-download"), "consent", "consent", "consent"),
        (case(asks="ask-install", overdue=True), "", "consent", "consent"),
        (case(asks="ask-install", forced=True), "", "consent", "consent"),
        (case("managed", asks="ask-install", forced=True), "", "", ""),
        (case("managed", asks="ask-install"), "", "consent", "consent"),
        (case("managed", auto=False, forced=True), "", "", ""),
        (case("industrial"), "", "consent", "consent"),
        (case("industrial", forced=True, overdue=True, window=False), "", "consent window", "consent window"),
        (case(auto=False, forced=True), "opt-out", "opt-out", "opt-out"),
        (case(auto=False, facts=FUNCTIONAL), "", "", ""),
        (case(auto=False, facts=Facts(kind="combined")), "opt-out", "opt-out", "opt-out"),
        (case(auto=False, facts=Facts()), "opt-out", "opt-out", "opt-out"),
        (case(window=False), "", "window", "window"),
        (case(window=False, overdue=True), "", "", ""),
        (case("managed", window=False, overdue=True), "", "window", "window"),
        (case(postponed=True), "postponed", "postponed", "postponed"),
        (case(shut=frozenset(GATES)), "metered", "metered busy power", "busy inhibitor power"),
        (case(shut=frozenset(GATES), consent="now"), "", "busy power", "busy inhibitor power"),
        (case(shut=frozenset(GATES), consent="given"), "metered", "metered busy power", "busy inhibitor power"),
        (case(shut=frozenset(GATES), overdue=True), "", "power", "power"),
    ],
)  # fmt: skip
def test_the_table(now: Case, download: str, install: str, restart: str) -> None:
    assert [" ".join(holds(now, stride)) for stride in Stride] == [download, install, restart]


def test_an_update_for_functionality_needs_consent_where_the_device_is_set_so() -> None:
    policy = replace(POLICY, auto_functionality=False)
    assert holds(Case(policy, FUNCTIONAL), Stride.INSTALL) == (Hold.CONSENT,)
    assert holds(Case(policy, SECURITY), Stride.INSTALL) == ()


@pytest.mark.req("C04", "C07")
def test_the_deadlines_and_totals_are_those_of_the_documentation() -> None:
    hours = {urgency: deadline(Facts(urgency=urgency)) / 3600 for urgency in ("", *URGENCIES)}
    assert hours == {"": 2160, "low": 2160, "medium": 720, "high": 168, "critical": 72, "exploited": 24}
    assert deadline(FUNCTIONAL) == float("inf")
    totals = {urgency: postpone_total(POLICY, Facts(urgency=urgency)) / 3600 for urgency in URGENCIES}
    assert totals == {"low": 168, "medium": 168, "high": 168, "critical": 72, "exploited": 24}
