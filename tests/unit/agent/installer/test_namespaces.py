"""Mounting a slot for a program of a bundle."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.installer.namespaces import mounted


@pytest.mark.root
@pytest.mark.parametrize("option", ["suid", "dev", "exec", "async", "noexec", "noatime", "defaults"])
def test_an_option_that_an_archive_is_unpacked_with_serves_for_hooks_too(option: str, tmp_path: Path) -> None:
    with mounted("test", "tmpfs", tmp_path / "slot", option) as where:
        assert os.statvfs(where).f_flag & os.ST_NOSUID
        assert os.statvfs(where).f_flag & os.ST_NODEV
