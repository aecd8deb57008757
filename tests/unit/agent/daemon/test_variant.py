"""Where a device's variant comes from."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.daemon.device import variant_of
from agent.errors import ConfigError


def variant(name: str = "", file: Path | None = None) -> str:
    return variant_of(SimpleNamespace(system=SimpleNamespace(variant_name=name, variant_file=file)))  # type: ignore[arg-type]


def test_it_is_named_or_stands_in_a_file_or_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "variant").write_text("red wide\n")
    assert variant("red") == "red"
    assert variant(file=tmp_path / "variant") == "red wide"
    assert variant() == ""


def test_a_file_that_cannot_be_read_is_not_taken_for_no_variant(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        variant(file=tmp_path / "missing")
    assert caught.value.code == "config.file"
