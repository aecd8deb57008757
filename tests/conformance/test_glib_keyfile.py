"""GLib's own GKeyFile, which RAUC uses, reads from a manifest what we read."""

from __future__ import annotations

from gi.repository import GLib
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.bundle.keyfile import read_keyfile, write_keyfile
from agent.errors import BundleError

PIECES = [
    "[a]",
    "[b c]",
    "[a] ",
    "[",
    "]",
    "k",
    "key",
    "=",
    "\n",
    "\n",
    "\r\n",
    "\\s",
    "\\n",
    "\\\\",
    "\\",
    "#",
    ";",
    "x",
]
SPACES = [" ", "\t", "\u00df", "\u2028", "\v", "\x00", "\x01"]

word = st.from_regex(r"[A-Za-z0-9-]{1,8}", fullmatch=True)
value = st.text(st.characters(codec="utf-8", exclude_categories=["C"], include_characters="\n\t\r"), min_size=1)
groups = st.dictionaries(word, st.dictionaries(word, value, max_size=4), max_size=4)


def glib_reads(data: bytes) -> dict[str, dict[str, str]]:
    """All groups, keys and decoded values as GLib sees them; raises GLib.Error."""
    file = GLib.KeyFile()
    file.load_from_bytes(GLib.Bytes.new(data), GLib.KeyFileFlags.NONE)
    return {
        group: {key: file.get_string(group, key) for key in file.get_keys(group)[0]} for group in file.get_groups()[0]
    }


@settings(deadline=None)
@given(st.lists(st.sampled_from([*PIECES, *SPACES]), max_size=30).map(lambda parts: "".join(parts).encode()))
def test_what_we_accept_glib_reads_in_the_same_way(data: bytes) -> None:
    try:
        ours = read_keyfile(data)
    except BundleError:
        return
    assert glib_reads(data) == ours


@settings(deadline=None)
@given(groups)
def test_what_we_write_glib_reads(found: dict[str, dict[str, str]]) -> None:
    assert glib_reads(write_keyfile(found.items())) == found
