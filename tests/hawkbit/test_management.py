"""The operator's calls do what they say, on every server that has hawkBit's Management API."""

from __future__ import annotations

import pytest

from hawkbit.lab import Lab


def test_an_assignment_is_an_action_with_a_history(lab: Lab) -> None:
    device, action = lab.assigned()
    assert lab.kinds(device, action) == ["running"]
    assert lab.operator.installed(device.name) is None
    assert lab.operator.attributes(device.name) == {}
    lab.operator.cancel(device.name, action)
    assert lab.operator.action(device.name, action)["type"] == "cancel"


def test_a_refusal_is_told_with_its_reason(lab: Lab) -> None:
    with pytest.raises(AssertionError, match="404"):
        lab.operator.action("nobody", 1)
