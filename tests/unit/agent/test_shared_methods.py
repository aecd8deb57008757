"""Frozen values that share methods behave as those that ``dataclasses`` makes."""

from __future__ import annotations

import copy
import dataclasses
import gc
from collections.abc import Callable
from typing import Any

import pytest

from agent.shared_methods import share

ORIGINAL = dataclasses.dataclass
Decorator = Callable[..., Any]


@pytest.fixture
def sharing(monkeypatch: pytest.MonkeyPatch) -> Decorator:
    monkeypatch.setattr(dataclasses, "dataclass", ORIGINAL)
    share()
    return dataclasses.dataclass


def value(dataclass: Decorator) -> Any:
    @dataclass(frozen=True, slots=True)
    class Value:
        """A value."""

        name: str
        secret: str = dataclasses.field(default="s", repr=False)
        seen: int = dataclasses.field(default=0, compare=False)

    return Value


@pytest.mark.parametrize("ask", [repr, hash, dataclasses.asdict, lambda made: made.__match_args__])
def test_the_answer_is_the_one_of_dataclasses(sharing: Decorator, ask: Callable[[object], object]) -> None:
    assert ask(value(sharing)("x", "y", 3)) == ask(value(ORIGINAL)("x", "y", 3))


def test_what_is_secret_is_not_shown(sharing: Decorator) -> None:
    assert "hidden" not in repr(value(sharing)("x", "hidden"))


@pytest.mark.parametrize("options", [{"frozen": True, "slots": True}, {"frozen": True, "kw_only": True}, {}])
def test_a_class_without_a_docstring_is_named_by_it_and_inspect_is_not_asked(
    sharing: Decorator, options: dict[str, bool]
) -> None:
    class Bare:
        number: int = 1

    assert sharing(**options)(Bare).__doc__ == "Bare"


def test_values_are_equal_by_what_is_compared_and_within_their_class_only(sharing: Decorator) -> None:
    made, other = value(sharing), value(sharing)
    assert made("x", seen=1) == made("x", seen=2)
    assert made("x") != made("y")
    assert made("x") != other("x")


def test_nothing_of_a_value_can_be_changed(sharing: Decorator) -> None:
    made = value(sharing)("x")
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'name'"):
        made.name = "y"
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'name'"):
        del made.name
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.unknown = 1


def test_an_altered_copy_is_made_as_before(sharing: Decorator) -> None:
    made = value(sharing)("x")
    assert dataclasses.replace(made, name="y").name == "y"
    assert copy.deepcopy(made) == made


def test_what_a_class_defines_itself_stays(sharing: Decorator) -> None:
    @sharing(frozen=True, slots=True)
    class Own:
        """With a text of its own."""

        name: str

        def __repr__(self) -> str:
            return f"<{self.name}>"

    assert repr(Own("x")) == "<x>"


def test_a_class_with_other_options_is_left_to_dataclasses(sharing: Decorator) -> None:
    @sharing(slots=True)
    class Open:
        """May change."""

        number: int

    made = Open(1)
    made.number = 2
    assert repr(made).endswith("Open(number=2)")
    assert Open.__hash__ is None


def test_a_class_is_in_memory_only_once(sharing: Decorator) -> None:
    @sharing(frozen=True, slots=True)
    class Single:
        """Was made twice: with slots a class must be made anew."""

        name: str

    gc.collect()
    assert [each for each in gc.get_objects() if isinstance(each, type) and each.__name__ == "Single"] == [Single]
