"""The replay reads the boot environment of each board where the board keeps it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from boot.lab.kinds import KINDS

from torture.environment import environment
from torture.places import Places, places


@pytest.mark.parametrize("kind", KINDS)
def test_both_read_the_same_variables_off_a_new_disk(kind: str, tmp_path: Path) -> None:
    board = KINDS[kind]()
    board.make(tmp_path, {})
    where = places(board)
    starts = {each.label: ("disk", board.layout.offset(each.label)) for each in board.layout.partitions}
    found = environment(where.format, where.copies, reader(tmp_path, starts, where), ("A", "B"))
    assert found.variables is not None
    assert dict(board.variables(tmp_path)).items() <= dict(found.variables).items()
    assert (found.valid, found.picks[0]) == ((True,) * len(where.copies), "A")


def reader(
    directory: Path, starts: dict[str, tuple[str, int]], where: Places
) -> Callable[[str], Callable[[int, int], bytes]]:
    """Reads regions: partitions, and what else a drive has."""
    others = {region.name: (drive.name, region.start) for drive in where.drives for region in drive.regions}

    def of(region: str) -> Callable[[int, int], bytes]:
        drive, start = {**starts, **others}[region]

        def read(offset: int, length: int) -> bytes:
            with (directory / f"{drive}.img").open("rb") as file:
                file.seek(start + offset)
                return file.read(length)

        return read

    return of
