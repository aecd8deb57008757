"""Numbers of ioctl requests on the architectures that compose them differently."""

from __future__ import annotations

import pytest

from slots import ioctls


@pytest.mark.parametrize(
    ("machine", "number"),
    [("x86_64", 0x1261), ("aarch64", 0x1261), ("parisc64", 0x1261), ("mips64", 0x20001261), ("ppc64le", 0x20001261)],
)
def test_a_request_without_argument_has_a_direction_of_its_own_on_some_machines(machine: str, number: int) -> None:
    """BLKFLSBUF, ``_IO(0x12, 97)``; _IOC_NONE is 1 in the ``asm/ioctl.h`` of MIPS and PowerPC."""
    assert ioctls.request(0x12, 97, 0, write=False, read=False, machine=machine) == number
