"""Whatever stands in a configuration file, the answer is a Config or a ConfigError."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from agent import config
from agent.config_table import SECTIONS, SETTINGS
from agent.errors import ConfigError

_LEAF = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=300),
    st.sampled_from(["system", "https://h:1", "uboot", "", "/", "a" * 5000, "partlabel:x", "x.service"]),
    st.just("1979-05-27T07:32:00Z"),
)
_VALUE = st.recursive(_LEAF, lambda inner: st.lists(inner, max_size=4), max_leaves=8)
_KEYS = [f"{section}|{row.key}" for section in SECTIONS for row in SETTINGS if row.section == section]


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, str):
        return json.dumps(value.encode("utf-8", "replace").decode(), ensure_ascii=True)
    return str(value)


def _try(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "c.toml"
        path.write_bytes(data)
        try:
            problem = None
            assert config.load([path]).slots
        except ConfigError as error:
            problem = error
    assert problem is None or (problem.code in ("config.invalid", "config.token-readable") and problem.details)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_random_bytes_never_raise_anything_else(data):
    _try(data)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(_KEYS), _VALUE, max_size=12), st.text(max_size=20))
def test_random_values_never_raise_anything_else(values, name):
    lines: dict[str, list[str]] = {}
    for place, value in values.items():
        section, key = place.split("|")
        key = json.dumps(name or "x") if key == "*" else key
        lines.setdefault("slot.rootfs.0" if section == "slot" else section, []).append(f"{key} = {_toml(value)}")
    text = "".join(f"[{section}]\n" + "\n".join(rows) + "\n" for section, rows in lines.items())
    _try(text.encode("utf-8", "replace"))


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text(max_size=12), _VALUE, max_size=4), st.sampled_from(["slot", "slot.rootfs", "server"]))
def test_random_names_never_raise_anything_else(values, section):
    rows = "\n".join(f"{json.dumps(key)} = {_toml(value)}" for key, value in values.items())
    _try(f"[{section}]\n{rows}\n".encode("utf-8", "replace"))
