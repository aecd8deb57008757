"""A disk that cannot write a sector any more.

QEMU's ``blkdebug`` is put under a disk of a machine that runs, and taken out again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from errno import EIO

from boot.lab.disk import SECTOR
from boot.lab.vm import VM

_NODE = "broken"


@contextmanager
def bad_sector(vm: VM, offset: int, *, disk: str = "disk", form: str = "raw") -> Iterator[None]:
    """Whoever writes to this sector meanwhile gets EIO.

    Args:
        vm: a machine that is on, made with ``vm.blocks``. It must not be switched off meanwhile.
        offset: of the sector, in bytes.
        disk: the name of the block node.
        form: of the disk.
    """
    # Events, such as write_aio, come from qcow2 only (docs/devel/blkdebug.txt of QEMU).
    rule = {"event": "none", "iotype": "write", "errno": EIO, "sector": offset // SECTOR, "once": False}
    vm.qmp("blockdev-add", driver="blkdebug", node_name=_NODE, image=f"{disk}-file", inject_error=[rule])
    _put_under(vm, disk, form, _NODE)
    try:
        yield
    finally:
        _put_under(vm, disk, form, f"{disk}-file")
        vm.qmp("blockdev-del", node_name=_NODE)


def _put_under(vm: VM, disk: str, form: str, node: str) -> None:
    graph = {"driver": form, "node-name": disk, "file": node, "discard": "unmap"}
    vm.qmp("blockdev-reopen", options=[graph])
