from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootloader_env import grub_format as fmt
from bootloader_env.errors import BootEnvError

BYTES = st.characters(min_codepoint=1, max_codepoint=255)
NAMES = st.text(alphabet="ABCabc_019", min_size=1, max_size=8)
VARIABLES = st.dictionaries(NAMES, st.text(BYTES, max_size=30), max_size=10)


@given(VARIABLES)
def test_what_is_encoded_is_decoded_byte_for_byte(variables):
    block = fmt.encode(fmt.edited((), dict(variables)), fmt.SIZE)
    assert len(block) == fmt.SIZE
    assert fmt.variables(fmt.decode(block)) == variables


@given(VARIABLES, st.dictionaries(NAMES, st.one_of(st.none(), st.text(BYTES, max_size=9)), max_size=5))
def test_an_edit_changes_what_it_should_and_keeps_the_rest_in_order(variables, changes):
    before = (b"# a comment\n", *fmt.edited((), dict(variables)))
    after = fmt.edited(before, changes)
    assert fmt.variables(after) == {n: v for n, v in {**variables, **changes}.items() if v is not None}
    assert after[0] == b"# a comment\n"
    rest = [name for name in variables if name not in changes]
    assert [name for name in fmt.variables(after) if name in rest] == rest


@given(VARIABLES, st.lists(NAMES, max_size=3))
def test_moving_variables_ahead_changes_only_their_place(variables, names):
    lines = (b"# a comment\n", *fmt.edited((), dict(variables)))
    moved = fmt.ahead(lines, names)
    assert sorted(moved) == sorted(lines)
    count = sum(name in variables for name in set(names))
    assert set(fmt.variables(moved[:count])) == {name for name in names if name in variables}


@given(st.binary(max_size=100))
def test_any_block_with_the_header_is_read_and_survives_an_edit(tail):
    lines = fmt.decode((fmt.HEADER + tail).ljust(fmt.SIZE, b"#"))
    fmt.variables(lines)
    again = fmt.decode(fmt.encode(fmt.edited(lines, {"ORDER": "A B"}), fmt.SIZE))
    assert fmt.variables(again)["ORDER"] == "A B"


@given(st.binary(max_size=100))
def test_arbitrary_bytes_are_read_or_refused(block):
    with contextlib.suppress(BootEnvError):
        fmt.variables(fmt.decode(block))


@pytest.mark.parametrize("block", [b"", bytes(1024), b"#" * 1024, fmt.HEADER[:-1], fmt.HEADER.lower() + b"#" * 1000])
def test_a_block_without_its_header_is_refused_with_advice(block):
    with pytest.raises(BootEnvError) as caught:
        fmt.decode(block)
    assert caught.value.code == "bootenv.invalid"
    assert "create" in caught.value.resolution


def test_exactly_full_fits_and_one_byte_more_does_not():
    room = fmt.SIZE - len(fmt.HEADER) - len("a=\n")
    fmt.encode(fmt.edited((), {"a": "x" * room}), fmt.SIZE)
    with pytest.raises(BootEnvError) as caught:
        fmt.encode(fmt.edited((), {"a": "x" * (room + 1)}), fmt.SIZE)
    assert caught.value.code == "bootenv.full"


def test_a_variable_without_a_line_end_is_ignored_as_by_grub():
    assert fmt.variables(fmt.decode(fmt.HEADER + b"a=1\nb=2")) == {"a": "1"}


@pytest.mark.parametrize("value", ["a\0b", "€"])
def test_a_value_that_no_byte_can_hold_is_refused(value):
    with pytest.raises(ValueError):
        fmt.edited((), {"a": value})
