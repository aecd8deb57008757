from __future__ import annotations

import contextlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootloader_env import uboot_format as fmt
from bootloader_env.errors import BootEnvError

BYTES = st.characters(min_codepoint=1, max_codepoint=255)
NAMES = st.text(BYTES.filter(lambda c: c != "="), min_size=1, max_size=8)
VARIABLES = st.dictionaries(NAMES, st.text(BYTES, min_size=1, max_size=30), max_size=10)


def entries_of(variables):
    return tuple(f"{name}={value}".encode("latin-1") for name, value in variables.items())


@given(VARIABLES, st.one_of(st.none(), st.integers(0, 255)))
def test_what_is_encoded_is_decoded_byte_for_byte(variables, flags):
    raw = fmt.encode(entries_of(variables), 1024, flags=flags)
    assert len(raw) == 1024
    image = fmt.decode(raw, redundant=flags is not None)
    assert image == fmt.Image(flags or 0, entries_of(variables))
    assert fmt.variables(image.entries) == variables


@given(VARIABLES, st.dictionaries(NAMES, st.one_of(st.none(), st.text(BYTES, max_size=9)), max_size=5))
def test_an_edit_changes_what_it_should_and_keeps_the_rest_in_order(variables, changes):
    after = fmt.edited(entries_of(variables), changes)
    expected = {name: value for name, value in {**variables, **changes}.items() if value}
    assert fmt.variables(after) == expected
    rest = [name for name in variables if name not in changes]
    assert [name for name in fmt.variables(after) if name in rest] == rest


@given(st.integers(0, 1023), st.integers(1, 255))
def test_a_flipped_byte_makes_a_copy_invalid_unless_it_is_the_flags(position, mask):
    raw = bytearray(fmt.encode((b"a=1", b"b=2"), 1024, flags=7))
    raw[position] ^= mask
    image = fmt.decode(bytes(raw), redundant=True)
    assert (image is not None) == (position == 4)


@given(st.binary(max_size=80))
def test_arbitrary_data_with_a_right_checksum_is_decoded_or_refused(data):
    raw = zlib.crc32(data).to_bytes(4, "little") + data
    with contextlib.suppress(BootEnvError):
        image = fmt.decode(raw, redundant=False)
        assert image is None or all(entry and b"\0" not in entry for entry in image.entries)


def test_data_without_an_end_is_refused_though_its_checksum_is_right():
    for data in (b"a=1", b"a=1\0", b"x"):
        with pytest.raises(BootEnvError) as caught:
            fmt.decode(zlib.crc32(data).to_bytes(4, "little") + data, redundant=False)
        assert caught.value.code == "bootenv.invalid"


def test_an_empty_environment_is_valid():
    assert fmt.decode(fmt.encode((), 64, flags=0), redundant=True) == fmt.Image(0, ())


@pytest.mark.parametrize(
    ("first", "second", "number"),
    [(1, 2, 1), (2, 1, 0), (255, 0, 1), (0, 255, 0), (5, 5, 0), (0, 0, 0), (255, 255, 0), (254, 255, 1), (1, 255, 1)],
)
def test_of_two_valid_copies_the_newer_counts(first, second, number):
    assert fmt.current((fmt.Image(first, ()), fmt.Image(second, ()))) == number


def test_of_one_valid_copy_the_flags_do_not_matter():
    assert fmt.current((None, fmt.Image(0, ()))) == 1
    assert fmt.current((fmt.Image(0, ()), None)) == 0
    assert fmt.current((None, None)) is None
    assert fmt.current((fmt.Image(0, ()),)) == 0


@given(st.integers(0, 255))
def test_the_copy_with_the_next_flags_always_wins(flags):
    old, new = fmt.Image(flags, ()), fmt.Image((flags + 1) & 255, ())
    assert fmt.current((old, new)) == 1
    assert fmt.current((new, old)) == 0


def test_exactly_full_fits_and_one_byte_more_does_not():
    fmt.encode((b"a=" + b"x" * 56,), 64, flags=None)
    with pytest.raises(BootEnvError) as caught:
        fmt.encode((b"a=" + b"x" * 57,), 64, flags=None)
    assert caught.value.code == "bootenv.full"


def test_entries_that_are_no_variables_and_repeated_names_survive_or_collapse():
    entries = (b"odd", b"a=1", b"=empty", b"a=2", b".flags=a:sr")
    assert fmt.variables(entries) == {"a": "2", ".flags": "a:sr"}
    assert fmt.edited(entries, {"a": "3"}) == (b"odd", b"a=3", b"=empty", b".flags=a:sr")
    assert fmt.edited(entries, {"a": None}) == (b"odd", b"=empty", b".flags=a:sr")
    assert fmt.edited(entries, {"b": "x"}) == (*entries, b"b=x")


@pytest.mark.parametrize("value", ["a\0b", "€"])
def test_a_value_that_no_byte_can_hold_is_refused(value):
    with pytest.raises(ValueError):
        fmt.edited((), {"a": value})
