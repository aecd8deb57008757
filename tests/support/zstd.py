"""Under which names an implementation of zstd is had here."""

from __future__ import annotations

import sys

# The module of Python 3.14 is published for older ones as backports.zstd.
STDLIB_ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
ZSTD_BACKENDS = ("zstandard", STDLIB_ZSTD, "ctypes")
