"""Whatever stands in the old files, the new one is TOML that says the same, and speaks of every key."""

from __future__ import annotations

import tomllib
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import ConfigError
from agent.migration.outcome import Ask, Put, TomlValue
from agent.migration.rauc_table import RAUC_ROWS
from agent.migration.source import Entry, read_source
from agent.migration.translate import Draft, Line, translate
from agent.migration.updater_table import UPDATER_ROWS
from agent.migration.writer import toml_key, toml_value, write

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
_VALUE = st.one_of(st.booleans(), st.integers(0, 2**62), _TEXT, st.lists(_TEXT, max_size=4))
_WORD = st.one_of(
    st.sampled_from(
        ["true", "false", "0", "7", "4M", "raw", "ext4", "A", "rootfs.0", "a;b", "-plain", "/x", "pkcs11:x"]
    ),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30),
)
_SECTION = {"log.*": "log.l", "artifacts.*": "artifacts.a"}
_PAIR = st.tuples(st.sampled_from([(row.section, row.key) for row in (*RAUC_ROWS, *UPDATER_ROWS)]), _WORD)
BASE = {
    "system": {"compatible": "x", "bootloader": "uboot"},
    "slot.rootfs.0": {"device": "/a", "bootname": "A"},
    "slot.rootfs.1": {"device": "/b", "bootname": "B"},
}
CLIENT = {"client": {"hawkbit_server": "h", "target_name": "t", "auth_token": "s"}}


@given(st.dictionaries(_TEXT, _VALUE, max_size=4))
def test_keys_and_values_come_back_as_they_were(table: dict[str, TomlValue]) -> None:
    text = "".join(f"{toml_key(key)} = {toml_value(value)}\n" for key, value in table.items())
    assert tomllib.loads(text) == table


@given(_TEXT, _TEXT, _VALUE)
def test_no_comment_becomes_a_setting(where: str, why: str, value: TomlValue) -> None:
    entry = Entry(where, 1, why, where, "x", Path("/"))
    lines = [
        Line("system", Put("system", "compatible", value, why), entry),
        Line("system", Ask(why), entry),
        Line("slot.rootfs.0", Put("slot.rootfs.0", "device", value, why), entry, off=True),
    ]
    text = write(Draft(lines), [where], [why])
    assert tomllib.loads(text) == {"system": {"compatible": value}}


def keyfile(sections: dict[str, dict[str, str]]) -> bytes:
    return "".join(
        f"[{section}]\n" + "".join(f"{key}={value}\n" for key, value in pairs.items())
        for section, pairs in sections.items()
    ).encode()


@settings(max_examples=300)
@given(st.lists(_PAIR, max_size=6))
def test_every_key_is_spoken_of_or_the_files_are_refused(pairs: list[tuple[tuple[str, str], str]]) -> None:
    rauc = {section: dict(keys) for section, keys in BASE.items()}
    updater = {section: dict(keys) for section, keys in CLIENT.items()}
    for (section, key), value in pairs:
        target = updater if section in ("client", "device") else rauc
        target.setdefault(_SECTION.get(section, section.replace("slot.*", "slot.rootfs.0")), {})[key] = value
    try:
        sources = [
            read_source(name, Path("/etc"), keyfile(sections))
            for name, sections in (("system.conf", rauc), ("config.conf", updater))
        ]
        draft = translate(*sources, stores_secrets=True)
    except ConfigError as error:
        if error.code != "config.import-invalid" or not error.details:
            raise
        return
    text = write(draft, ["system.conf"])
    tomllib.loads(text)
    for source in sources:
        for entries in source.sections.values():
            for entry in entries.values():
                assert any(line.entry and line.entry.place == entry.place for line in draft.lines)
                assert f"{entry.place} " in text or f"{entry.place}\n" in text or f"{entry.place};" in text
