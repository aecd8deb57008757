"""Numbers of ioctl requests, as ``asm/ioctl.h`` composes them: direction, size of the argument, type, number.

Most architectures have the directions of ``asm-generic/ioctl.h``; these have others (their ``asm/ioctl.h``).
"""

from __future__ import annotations

import os

_OTHERS = ("alpha", "mips", "parisc", "ppc", "powerpc", "sparc")


def request(kind: int | str, number: int, size: int, *, write: bool, read: bool, machine: str = "") -> int:
    """The number of a request.

    Args:
        kind: the type, a letter or a number.
        number: within the type.
        size: of the argument, in bytes; 0 for a request without one that is described (``_IO``).
        write: the kernel reads the argument (``_IOW``).
        read: the kernel writes to the argument (``_IOR``).
        machine: what ``uname -m`` says; by default that of this system.
    """
    machine = machine or os.uname().machine
    letter = ord(kind) if isinstance(kind, str) else kind
    if machine.startswith("parisc"):
        direction, shift = 2 * write | read, 30
    elif machine.startswith(_OTHERS):
        direction, shift = 4 * write | 2 * read or 1, 29  # _IOC_NONE is 1 there
    else:
        direction, shift = write | 2 * read, 30
    return direction << shift | size << 16 | letter << 8 | number
