"""What a device tells about itself: merging, limits, and when it is asked again."""

from __future__ import annotations

import pytest

from hawkbit.lab import Lab


def test_attributes_arrive_and_are_not_asked_for_again(lab: Lab) -> None:
    device = lab.device()
    assert device.attributes({"sw_version": "1.0.0", "hw": "a"}) == 200
    assert lab.operator.attributes(device.name) == {"sw_version": "1.0.0", "hw": "a"}
    assert "configData" not in device.links()


def test_without_a_mode_attributes_are_merged(lab: Lab) -> None:
    device = lab.device()
    device.attributes({"a": "1", "b": "1"})
    device.attributes({"b": "2", "c": "2"})
    assert lab.operator.attributes(device.name) == {"a": "1", "b": "2", "c": "2"}


@pytest.mark.parametrize(
    ("mode", "left"),
    [
        ("merge", {"a": "1", "b": "2", "c": "2"}),
        ("replace", {"b": "2", "c": "2"}),
        ("remove", {"a": "1"}),
    ],
)
def test_the_mode_says_what_becomes_of_older_attributes(lab: Lab, mode: str, left: dict[str, str]) -> None:
    device = lab.device()
    device.attributes({"a": "1", "b": "1"})
    assert device.attributes({"b": "2", "c": "2"}, mode=mode) == 200
    assert lab.operator.attributes(device.name) == left


def test_an_unknown_mode_is_400(lab: Lab) -> None:
    assert lab.device().attributes({"a": "1"}, mode="mix") == 400


@pytest.mark.parametrize("pair", [("k" * 129, "v"), ("k", "v" * 129)], ids=["long-key", "long-value"])
def test_one_pair_that_is_too_long_refuses_all(lab: Lab, pair: tuple[str, str]) -> None:
    device = lab.device()
    assert device.attributes({"good": "1", pair[0]: pair[1]}) == 400
    assert lab.operator.attributes(device.name) == {}


@pytest.mark.feature("management", "attribute-charset")
@pytest.mark.parametrize("pair", [("\u00fc", "v"), ("k", "\u00fc"), ("k", "~")], ids=["key", "value", "tilde"])
def test_one_pair_with_a_strange_character_refuses_all(lab: Lab, pair: tuple[str, str]) -> None:
    device = lab.device()
    assert device.attributes({"good": "1", pair[0]: pair[1]}) == 400
    assert lab.operator.attributes(device.name) == {}


@pytest.mark.feature("management", "null-removes")
def test_null_removes_an_attribute(lab: Lab) -> None:
    device = lab.device()
    device.attributes({"a": "1", "b": "1"})
    assert device.attributes({"a": None}) == 200
    assert lab.operator.attributes(device.name) == {"b": "1"}


def test_128_characters_are_allowed(lab: Lab) -> None:
    device = lab.device()
    assert device.attributes({"k" * 128: "v" * 128}) == 200


def test_more_than_100_attributes_are_refused(lab: Lab) -> None:
    device = lab.device()
    assert device.attributes({f"k{n}": "v" for n in range(100)}) == 200
    assert device.attributes({"one-more": "v"}) in (403, 429)
    assert len(lab.operator.attributes(device.name)) == 100


def test_attributes_are_asked_for_after_a_success(lab: Lab) -> None:
    device, action = lab.assigned()
    device.attributes({"a": "1"})
    assert "configData" not in device.links()
    device.say(action, "closed", "success")
    assert "configData" in device.links()


def test_attributes_are_not_asked_for_after_a_failure(lab: Lab) -> None:
    device, action = lab.assigned()
    device.attributes({"a": "1"})
    device.say(action, "closed", "failure")
    assert "configData" not in device.links()


def test_the_operator_can_ask_for_them(lab: Lab) -> None:
    device = lab.device()
    device.attributes({"a": "1"})
    lab.operator.call("PUT", f"/targets/{device.name}", {"requestAttributes": True})
    assert "configData" in device.links()
