"""Makes ``compression.zstd`` of Python 3.14 importable on older ones, by its author's backport; import it for that."""

from __future__ import annotations

import sys
from types import ModuleType

if sys.version_info < (3, 14):
    from backports import zstd

    sys.modules.setdefault("compression", ModuleType("compression"))
    sys.modules.setdefault("compression.zstd", zstd)
