"""``min-rauc-version`` of a manifest: does its maker count on more than this agent knows? Pure.

A bundle that says 1.14 means: whoever installs it must know what a manifest could say up to RAUC 1.14. Source:
``check_manifest_common`` in RAUC's ``src/manifest.c`` and ``r_semver_parse`` in ``src/utils.c``.
"""

from __future__ import annotations

import re

from agent.bundle.keyfile import invalid
from agent.errors import BundleError

# Every group and key that RAUC 1.15 defines for a manifest is either obeyed here or refuses the bundle.
FEATURE_LEVEL = (1, 15, 0)
_FIRST = (1, 13, 0)  # RAUC reads the key since 1.14, so that nothing up to here can have been meant
_CORE = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20}){0,2}")
_LARGEST = (1 << 64) - 1


def check_feature_level(wanted: str) -> None:
    """Refuses a bundle that needs more than ``FEATURE_LEVEL``.

    Args:
        wanted: the value of ``min-rauc-version``: Major[.Minor[.Patch]][-pre][+build]. A pre-release is older than its
            release, so that between it and a level that is a release only the numbers count.

    Raises:
        BundleError: ``bundle.manifest-invalid``, ``bundle.needs-newer``.
    """
    # RAUC cuts at the last "+" and then at the last "-": of "1.15-rc-1" the numbers would be "1.15-rc", which are none.
    core = _before(_before(wanted, "+"), "-")
    numbers = [int(part) for part in core.split(".")] if _CORE.fullmatch(core) else []
    if not numbers or max(numbers) > _LARGEST:
        raise invalid(f"min-rauc-version {wanted[:80]!r} is not Major[.Minor[.Patch]][-pre-release]")
    version = tuple([*numbers, 0, 0][:3])
    if version <= _FIRST:
        raise invalid(f"min-rauc-version {wanted[:80]} cannot be: the key exists since 1.14")
    if version > FEATURE_LEVEL:
        raise BundleError(
            "bundle.needs-newer", "the bundle needs a newer update agent",
            details=f"min-rauc-version is {wanted[:80]}, this agent does what RAUC {_shown(FEATURE_LEVEL)} does",
            resolution="update the device to a release with a newer agent first, or build a bundle that needs less",
        )  # fmt: skip


def _before(text: str, mark: str) -> str:
    return text.rpartition(mark)[0] if mark in text else text


def _shown(version: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in version[:2])
