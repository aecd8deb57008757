"""Load options of UEFI as bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootloader_env import efi_format as fmt
from bootloader_env.errors import BootEnvError

# UEFI 2.10, 3.1.3: attributes, length of the path list, description, path list, optional data.
EXAMPLE = bytes.fromhex("01000000 0400 41000000 7fff0400 726f")
LABELS = st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"]), max_size=20)


def test_a_load_option_is_taken_apart() -> None:
    option = fmt.decode_option(EXAMPLE)
    assert option == fmt.LoadOption(1, "A", bytes.fromhex("7fff0400"), b"ro")
    assert option.active
    assert fmt.encode_option(option) == EXAMPLE


def test_an_entry_that_is_not_active_is_seen_as_such() -> None:
    assert not fmt.decode_option(b"\0" + EXAMPLE[1:]).active


@given(st.integers(0, 2**32 - 1), LABELS, st.binary(max_size=40), st.binary(max_size=40))
def test_what_is_built_is_read_the_same(attributes: int, label: str, path: bytes, data: bytes) -> None:
    option = fmt.LoadOption(attributes, label, path, data)
    assert fmt.decode_option(fmt.encode_option(option)) == option


@given(st.binary(max_size=60))
def test_any_bytes_are_a_load_option_or_an_explained_error(data: bytes) -> None:
    try:
        option = fmt.decode_option(data)
    except BootEnvError as error:
        seen = error.code
    else:
        seen = len(fmt.encode_option(option))
    assert seen in ("bootenv.efi-invalid", len(data))


@pytest.mark.parametrize("length", range(len(EXAMPLE) - 2))
def test_a_load_option_that_ends_too_early_is_refused(length: int) -> None:
    with pytest.raises(BootEnvError) as caught:
        fmt.decode_option(EXAMPLE[:length])
    assert caught.value.code == "bootenv.efi-invalid"


@given(st.lists(st.integers(0, 0xFFFF), max_size=20))
def test_lists_of_entries_are_read_as_they_were_built(numbers: list[int]) -> None:
    assert fmt.decode_numbers(fmt.encode_numbers(numbers)) == tuple(numbers)


def test_half_a_number_is_refused() -> None:
    with pytest.raises(BootEnvError):
        fmt.decode_numbers(b"\1\0\2")


def test_a_text_ends_with_its_zero() -> None:
    assert fmt.decode_text("b+2-1.conf\0junk".encode("utf-16-le")) == "b+2-1.conf"
