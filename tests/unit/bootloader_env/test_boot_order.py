from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootloader_env.errors import BootEnvError
from bootloader_env.order import TRIAL, GrubDialect, Rules, UbootDialect, effective

UBOOT = Rules(("A", "B", "C"), UbootDialect(good=3, primary=12))
GRUB = Rules(("A", "B", "C"), GrubDialect())
COUNTED = Rules(("A", "B", "C"), GrubDialect(good=3, primary=9))

NAMES = st.sampled_from(["A", "B", "C"])
PAIRS = st.permutations(["A", "B", "C"]).map(lambda names: names[:2])
ORDERS = st.lists(st.sampled_from(["A", "B", "C", "R", "recovery"]), max_size=7).map(" ".join)
COUNTS = st.sampled_from(["", "0", "1", "3", "a", "zz", "-1", "0x2", "ffffffff", "100000000000", " 1"])
FLAGS = st.sampled_from(["", "0", "1", "2", "yes"])
UBOOT_VARIABLES = st.fixed_dictionaries(
    {}, optional={"BOOT_ORDER": ORDERS, **{f"BOOT_{n}_LEFT": COUNTS for n in "ABC"}, TRIAL: st.just("x")}
)
GRUB_VARIABLES = st.fixed_dictionaries(
    {},
    optional={
        "ORDER": ORDERS,
        **{f"{n}_{s}": FLAGS for n in "ABC" for s in ("OK", "TRY")},
        **{f"{n}_LEFT": st.sampled_from(["", "0", "1", "9", "10", "x"]) for n in "ABC"},
        TRIAL: st.just("x"),
    },
)
CASES = st.one_of(
    st.tuples(st.just(UBOOT), UBOOT_VARIABLES),
    st.tuples(st.just(GRUB), GRUB_VARIABLES),
    st.tuples(st.just(COUNTED), GRUB_VARIABLES),
)


def applied(variables, changes):
    return {name: value for name, value in {**variables, **changes}.items() if value is not None}


@pytest.mark.req("S02", "T26")
@given(CASES, PAIRS)
def test_from_any_variables_activation_leads_to_the_target_first_and_a_bootable_fallback(case, pair):
    rules, variables = case
    target, fallback = pair
    after = rules.state(applied(variables, rules.activate(variables, target, fallback, "t")))
    assert after.order[:2] == (target, fallback)
    assert after.primary == target
    assert after.slots[fallback].good
    assert after.trial == "t"
    assert set(after.order) >= set(rules.state(variables).order)


@given(CASES, PAIRS)
def test_from_any_variables_a_revert_leads_to_the_good_slot(case, pair):
    rules, variables = case
    bad, good = pair
    after = rules.state(applied(variables, rules.revert(variables, bad, good)))
    assert (after.primary, after.order[0], after.trial) == (good, good, "")
    assert not after.slots[bad].good


@given(CASES, NAMES)
def test_from_any_variables_a_confirmed_slot_is_good(case, name):
    rules, variables = case
    after = rules.state(applied(variables, rules.confirm(variables, name)))
    assert after.slots[name].good
    assert after.trial == ""


@given(CASES, NAMES)
def test_marking_good_touches_only_that_slots_attempts_unless_nothing_would_boot(case, name):
    rules, variables = case
    changes = rules.mark_good(variables, name)
    assert TRIAL not in changes
    after = rules.state(applied(variables, changes))
    assert after.primary
    assert after.slots[name].attempts
    order = [variable for variable in changes if variable in ("ORDER", "BOOT_ORDER")]
    assert all(name in variable for variable in changes if variable not in order)
    if order:
        assert not rules.state(applied(variables, {n: v for n, v in changes.items() if n not in order})).primary
        assert after.primary == after.order[0] == name


@pytest.mark.parametrize("order", [None, "", "   ", "x y", "A,B"])
def test_a_lost_order_is_healed_without_a_slot_that_has_no_attempts(order):
    left = {"BOOT_A_LEFT": "1", "BOOT_B_LEFT": "3", "BOOT_C_LEFT": "0"}
    variables = left if order is None else {**left, "BOOT_ORDER": order}
    kept = [] if order is None else order.split()
    healed = applied(variables, UBOOT.mark_good(variables, "B"))
    assert healed["BOOT_ORDER"].split() == ["B", "A", *kept], "C may be half written"
    assert UBOOT.activate(variables, "C", "B", "")["BOOT_ORDER"].split() == ["C", "B", "A", *kept]


def test_what_may_change_is_known_before_anything_does():
    assert UBOOT.names == {"BOOT_ORDER", "BOOT_A_LEFT", "BOOT_B_LEFT", "BOOT_C_LEFT", TRIAL}
    assert GRUB.names == {"ORDER", TRIAL, *(f"{name}_{what}" for name in "ABC" for what in ("OK", "TRY", "LEFT"))}


@pytest.mark.req("S02", "S08")
@pytest.mark.parametrize("operation", ["mark_good", "activate", "revert"])
@pytest.mark.parametrize("order", [{}, {"BOOT_ORDER": ""}])
def test_a_missing_order_is_healed_without_the_slot_that_was_taken_out_of_it(operation, order):
    variables = {**order, "BOOT_A_LEFT": "3", "BOOT_B_LEFT": "2", "BOOT_C_LEFT": "0"}
    calls = {
        "mark_good": lambda: UBOOT.mark_good(variables, "B"),
        "activate": lambda: UBOOT.activate(variables, "B", "A", "t"),
        "revert": lambda: UBOOT.revert(variables, "C", "B"),
    }
    assert calls[operation]()["BOOT_ORDER"] == "B A"


@pytest.mark.parametrize(("order", "healed"), [("X Y", "A B C X Y"), ("recovery", "A B C recovery")])
def test_an_order_that_names_no_slot_of_ours_is_healed_by_a_good_boot(order, healed):
    assert UBOOT.mark_good({"BOOT_ORDER": order}, "A")["BOOT_ORDER"] == healed
    assert GRUB.mark_good({"ORDER": order}, "A")["ORDER"] == healed


@pytest.mark.parametrize("order", ["A", "B A", "C A B"])
def test_an_order_by_which_the_slot_boots_is_left_alone_by_a_good_boot(order):
    assert "BOOT_ORDER" not in UBOOT.mark_good({"BOOT_ORDER": order}, "A")


RESCUED = (
    Rules(("A", "B"), UbootDialect(good=3, primary=3), ("R",)),
    Rules(("A", "B"), GrubDialect(), ("R",)),
)


@pytest.mark.parametrize("rules", RESCUED, ids=["uboot", "grub"])
@given(variables=st.one_of(UBOOT_VARIABLES, GRUB_VARIABLES))
def test_a_rescue_system_is_behind_every_slot_without_a_place_in_the_order(rules, variables):
    activated = applied(variables, rules.activate(variables, "A", "R", "t"))
    reverted = applied(activated, rules.revert(activated, "A", "R"))
    assert rules.state(activated).order[0] == rules.state(activated).primary == "A"
    assert not rules.state(reverted).slots["A"].good
    for after in (activated, reverted):
        assert "R" not in rules.state(after).order
        assert not [name for name in after.keys() - variables.keys() if "R_" in name or "_R" in name]
    assert rules.mark_good(variables, "R") == {}


@pytest.mark.parametrize("rules", RESCUED, ids=["uboot", "grub"])
def test_a_rescue_system_is_never_a_target(rules):
    for call in (
        lambda: rules.activate({}, "R", "A", "t"),
        lambda: rules.confirm({}, "R"),
        lambda: rules.revert({}, "R", "A"),
    ):
        with pytest.raises(BootEnvError) as caught:
            call()
        assert caught.value.code == "bootenv.unknown-bootname"


def test_an_order_that_gets_empty_is_removed():
    assert RESCUED[0].revert({"BOOT_ORDER": "A"}, "A", "R")["BOOT_ORDER"] is None


@given(CASES, PAIRS)
def test_every_operation_is_idempotent(case, pair):
    rules, variables = case
    one, two = pair
    for plan in (
        lambda now: rules.activate(now, one, two, "t"),
        lambda now: rules.confirm(now, one),
        lambda now: rules.revert(now, one, two),
        lambda now: rules.mark_good(now, one),
    ):
        after = applied(variables, plan(variables))
        assert effective(after, plan(after)) == {}


@pytest.mark.parametrize(
    ("left", "attempts"),
    [("3", 3), ("a", 10), ("0A", 10), ("0x2", 2), ("0", 0), ("", 0), ("zz", 0), ("-1", 0), (" 1", 0), ("1" * 9, 0)],
)
def test_attempts_are_hexadecimal_and_nonsense_counts_as_none(left, attempts):
    state = UBOOT.state({"BOOT_ORDER": "A", "BOOT_A_LEFT": left})
    assert state.slots["A"].attempts == attempts
    assert state.slots["A"].good == (attempts > 0)


def test_attempts_are_written_in_hexadecimal():
    changes = UBOOT.activate({}, "A", "B", "")
    assert (changes["BOOT_A_LEFT"], changes["BOOT_B_LEFT"]) == ("c", "3")


@pytest.mark.parametrize(
    "variables",
    [
        {"ORDER": "A", "A_OK": "1"},
        {"ORDER": "A", "A_TRY": "0"},
        {"A_OK": "1", "A_TRY": "0"},
        {"ORDER": "A", "A_OK": "1", "A_TRY": "1"},
        {"ORDER": "A", "A_OK": "01", "A_TRY": "0"},
    ],
)
def test_a_grub_slot_is_good_only_with_all_three_variables_right(variables):
    assert not GRUB.state(variables).slots["A"].good


def test_a_bad_slot_leaves_the_order_of_uboot_and_keeps_its_place_in_grubs():
    assert UBOOT.revert({"BOOT_ORDER": "B A C"}, "B", "A")["BOOT_ORDER"] == "A C"
    assert GRUB.revert({"ORDER": "B A C"}, "B", "A")["ORDER"] == "A B C"


def test_slots_that_we_do_not_manage_stay_in_the_order():
    assert UBOOT.activate({"BOOT_ORDER": "recovery A B"}, "B", "A", "")["BOOT_ORDER"] == "B A recovery"


@pytest.mark.parametrize(
    "names", [(), ("A",), ("A", "A"), ("A", ""), ("A", "b c"), ("A", "B=1"), ("A", "B\n"), ("A", "ü")]
)
def test_bootnames_that_cannot_be_parts_of_variables_are_refused(names):
    with pytest.raises(BootEnvError) as caught:
        Rules(names, GrubDialect())
    assert caught.value.code == "bootenv.bootnames"
    assert caught.value.resolution


@pytest.mark.parametrize(
    ("ok", "tried", "left", "attempts"),
    [
        ("1", "0", "3", 3), ("1", "0", "9", 9), ("1", "0", "1", 1),
        ("1", "0", "0", 1), ("1", "0", "", 1), ("1", "0", "12", 1), ("1", "0", "x", 1),  # one try, as for our script
        ("1", "1", "3", 0),  # RAUC's script has booted it
        ("0", "0", "3", 0), ("0", "1", "3", 0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("rules", [GRUB, COUNTED])
def test_grub_attempts_are_a_digit_that_counts_only_together_with_raucs_variables(rules, ok, tried, left, attempts):
    variables = {"ORDER": "A", "A_OK": ok, "A_TRY": tried, **({"A_LEFT": left} if left else {})}
    slot = rules.state(variables).slots["A"]
    assert (slot.attempts, slot.good) == (attempts, attempts > 0)


def test_with_one_attempt_no_counter_is_left_behind():
    assert GRUB.activate({"B_LEFT": "3"}, "B", "A", "")["B_LEFT"] is None
    assert COUNTED.activate({}, "B", "A", "")["B_LEFT"] == "9"
    assert COUNTED.activate({}, "B", "A", "")["A_LEFT"] == "3"
    assert COUNTED.revert({}, "B", "A")["B_LEFT"] == "0"


@pytest.mark.parametrize("rules", [UBOOT, GRUB, COUNTED])
def test_a_new_environment_has_the_running_slot_first_and_others_only_if_they_may_boot(rules):
    state = rules.state(applied({}, rules.anew("B", ["A"])))
    assert state.order == ("B", "A", "C")
    assert [name for name, slot in state.slots.items() if slot.good] == ["A", "B"]
    assert state.trial == ""
