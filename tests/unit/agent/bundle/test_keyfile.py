"""Key files: what is written is read, and nothing costs more than its size; GLib's reading is held against it elsewhere."""

from __future__ import annotations

import contextlib
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.bundle.keyfile import MAX_SIZE, join_list, read_keyfile, split_list, write_keyfile
from agent.errors import BundleError

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cc",), exclude_characters="[]=#"), min_size=1).filter(
    lambda name: name == name.strip() and name != "Encoding"  # in the first group it must be UTF-8
)
VALUES = st.text(st.characters(codec="utf-8", exclude_categories=("Cc",)) | st.sampled_from(" \t\n\r\\;"), min_size=1)
GROUPS = st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, max_size=4), max_size=4)


@given(GROUPS)
def test_groups_survive_the_round_trip(groups: dict[str, dict[str, str]]) -> None:
    assert read_keyfile(write_keyfile(groups.items())) == groups


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters=";"), min_size=1)).map(tuple))
def test_lists_survive_the_round_trip(items: tuple[str, ...]) -> None:
    assert split_list(join_list(items)) == items


@pytest.mark.req("T16")
@settings(max_examples=300)
@given(
    st.binary(max_size=300) | st.lists(st.sampled_from([b"[a]\n", b"k=v\n", b"\\", b"=", b"\r", b"\xff"])).map(b"".join)
)
def test_arbitrary_bytes_are_read_the_same_again_or_refused(data: bytes) -> None:
    with contextlib.suppress(BundleError):
        groups = read_keyfile(data)
        assert read_keyfile(write_keyfile(groups.items())) == groups


@pytest.mark.req("T16")
@pytest.mark.parametrize("unit", ["[{0}]\n", "k{0}=v\n", "\n", "#", "\\n"])
def test_the_largest_file_takes_little_memory(unit: str) -> None:
    text = "[a]\n" + "".join(unit.format(number) for number in range(MAX_SIZE))
    tracemalloc.start()
    with contextlib.suppress(BundleError):
        read_keyfile(text.encode()[:MAX_SIZE])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 * 1024 * 1024
