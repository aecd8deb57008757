"""The smallest arm64 kernel: it says a word on the console of QEMU's machine, and resets or switches off by PSCI.

Format: Linux, Documentation/arch/arm64/booting.rst. Calls: Arm DEN 0022, SYSTEM_OFF and SYSTEM_RESET.
"""

from __future__ import annotations

import struct

_UART = 0x0900  # upper half of the address of the machine's PL011
_OFF, _RESET = 0x0008, 0x0009  # lower halves of the function numbers, the upper is 0x8400


def kernel(word: str, *, then_reset: bool) -> bytes:
    """Builds the image.

    Args:
        word: what it says.
        then_reset: reset the machine afterwards, as a watchdog would; otherwise switch it off.
    """
    code = [0xD2A00001 | _UART << 5]  # movz x1, #_UART, lsl #16
    for letter in word.encode("ascii"):
        code += [0x52800000 | letter << 5, 0xB9000020]  # movz w0, #letter; str w0, [x1]
    call = _RESET if then_reset else _OFF
    code += [0x52800000 | call << 5, 0x72B08000, 0xD4000002, 0x14000000]  # movz w0; movk w0, #0x8400, lsl #16; hvc; b .
    body = struct.pack(f"<{len(code)}I", *code)
    branch = 0x14000010  # over the header
    return struct.pack("<IIQQQQQQ4sI", branch, 0, 0, 64 + len(body), 0, 0, 0, 0, b"ARM\x64", 0) + body
