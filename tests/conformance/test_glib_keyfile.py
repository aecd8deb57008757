"""GLib's own GKeyFile, which RAUC uses, reads from a manifest what we read; where we refuse what it reads, it is named."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from gi.repository import GLib
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.bundle.keyfile import read_keyfile, split_list, write_keyfile
from agent.errors import BundleError

Read = dict[str, dict[str, str]]

# Pieces of which every rule of the grammar can be put together, right and wrong.
PIECES = (
    *("[a]", "[b c]", "[a] ", "[", "]", "[de]", "k", "key", "Encoding", "UTF-8", "=", "\n", "\n", "\n", "\r\n", "\r"),
    *("\\s", "\\n", "\\\\", "\\;", "\\", "#", ";", "x", " ", "\t", "\f", "\v", "\x00", "\x01", "\x7f", "\ufeff"),
    *("\u00df", "\u00a0", "\u2028", "\U0001f600", "long " * 400),
)  # fmt: skip
RAW = (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _repeats_a_key(data: bytes) -> bool:
    seen: set[tuple[bytes, bytes]] = set()
    group = b""
    for line in data.split(b"\n"):
        line = line.lstrip(b" \t\f\r")
        if line.startswith(b"["):
            group = line[: line.find(b"]")]
        elif b"=" in line and not line.startswith(b"#"):
            key = (group, line.partition(b"=")[0].rstrip(b" \t\f\r"))
            if key in seen:
                return True
            seen.add(key)
    return False


STRICTER: dict[str, tuple[Callable[[bytes], bool], bytes]] = {
    # GLib checks only values that are asked for: names and comments may be any bytes.
    "bytes that are not UTF-8": (lambda data: not _is_utf8(data), b"# \xff\n[a]\nk=x\n"),
    # GLib ends a value at a NUL, and takes a line that starts with one for a comment.
    "control characters": (
        lambda data: bool(re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", data)),
        b"[a]\nk=x\x00y\n",
    ),
    "white space in the middle of a key, other than spaces": (
        lambda data: bool(re.search(rb"[^\s=][\t\r][^\n=]*=", data)),
        b"[a]\nk\tk=x\n",
    ),
    "an empty value, which RAUC refuses where it wants a text": (
        lambda data: bool(re.search(rb"=[ \t\r\f]*(\n|$)", data)),
        b"[a]\nk=\n",
    ),
    # GLib keeps the last one; RAUC removes one of them and then complains about the other.
    "a key that appears twice": (_repeats_a_key, b"[a]\nk=1\nk=2\n"),
    # GLib keeps or drops it as the environment variable LANG says.
    "a key with a locale": (lambda data: bool(re.search(rb"\[[^\n]*\][ \t\r\f]*=", data)), b"[a]\nk[de]=x\n"),
}


def glib_reads(data: bytes) -> Read | None:
    """All groups, keys and decoded values as GLib sees them; None for a refusal."""
    file = GLib.KeyFile()
    try:
        file.load_from_bytes(GLib.Bytes.new(data), GLib.KeyFileFlags.NONE)
        found = file.get_groups()[0]
        return {group: {key: file.get_string(group, key) for key in file.get_keys(group)[0]} for group in found}
    except (GLib.Error, UnicodeDecodeError, RuntimeError):  # PyGObject cannot pass on names that are not UTF-8
        return None


def we_read(data: bytes) -> Read | None:
    """What we read; None for a refusal."""
    try:
        return read_keyfile(data)
    except BundleError:
        return None


lines = st.sampled_from(
    [
        "[a]\n",
        "[b]\n",
        "k=x\n",
        "key = y \r\n",
        "# note\n",
        "\n",
        "k=\\s\\tz\n",
        "l=a;b\\\\;\n",
        "k=x",
        "Encoding=utf-8\n",
    ]
)
texts = st.lists(st.sampled_from(PIECES) | lines, max_size=30).map(lambda parts: "".join(parts).encode())
manifests = texts | st.lists(
    st.sampled_from(PIECES).map(str.encode) | lines.map(str.encode) | st.sampled_from(RAW), max_size=20
).map(b"".join)  # fmt: skip


@settings(max_examples=1500)
@given(manifests)
@example(b"[a]\nk\r=v\r")
@example(b"[a]\n[b]\n[a]\nEncoding=UTF-8")
def test_what_we_read_glib_reads_in_the_same_way(data: bytes) -> None:
    ours = we_read(data)
    if ours is not None:
        assert glib_reads(data) == ours


@settings(max_examples=1500)
@given(manifests)
@example(b"[a]\r\n k \t=  v \r\n[b]\nk=v\n[a]\nl=w")
def test_what_glib_reads_we_read_unless_the_difference_has_a_name(data: bytes) -> None:
    if glib_reads(data) is not None and we_read(data) is None:
        assert [name for name, (applies, _) in STRICTER.items() if applies(data)], "an unnamed difference from GLib"


@pytest.mark.parametrize("name", STRICTER)
def test_where_we_are_stricter_than_glib_it_is_on_purpose(name: str) -> None:
    applies, data = STRICTER[name]
    assert applies(data)
    assert glib_reads(data)
    assert we_read(data) is None


items = st.lists(st.text(st.sampled_from("ab;\\ -"), max_size=5), max_size=5)


@settings(max_examples=300)
@given(items)
def test_lists_are_split_as_by_glib(parts: list[str]) -> None:
    """An escaped semicolon is refused: no item that RAUC knows contains one."""
    value = ";".join(parts)
    data = f"[a]\nk={value}\n".encode()
    ours = we_read(data)
    if ours is None:
        assert "\\" in value or not value.strip()
        return
    file = GLib.KeyFile()
    file.load_from_bytes(GLib.Bytes.new(data), GLib.KeyFileFlags.NONE)
    assert tuple(file.get_string_list("a", "k")) == split_list(ours["a"]["k"])


word = st.from_regex(r"[A-Za-z0-9-]{1,8}", fullmatch=True).filter(lambda key: key != "Encoding")
value = st.text(st.characters(codec="utf-8", exclude_categories=["C"], include_characters="\n\t\r"), min_size=1)
groups = st.dictionaries(word, st.dictionaries(word, value, max_size=4), max_size=4)


@given(groups)
def test_what_we_write_glib_reads(found: Read) -> None:
    assert glib_reads(write_keyfile(found.items())) == found
