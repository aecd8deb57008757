"""Where a package puts what is in systemd/: ``python -m tools.install_tree DESTDIR``.

The programs are not part of this: ``/usr/bin/ota-agent`` comes from the Python package, and the units name it so.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

FILES = Path(__file__).resolve().parents[1] / "systemd"
EXAMPLES = "usr/share/doc/ota-agent/examples"

# The first row that matches counts. Groups of the expression may stand in the place.
_PLACES = (
    # Names on the bus; before units, because activation files have the same ending.
    (r"org\.\S+\.service", "usr/share/dbus-1/system-services/{0}"),
    (r"(org|de)\.\S+\.conf", "usr/share/dbus-1/system.d/{0}"),
    (r"org\.\S+\.policy", "usr/share/polkit-1/actions/{0}"),
    (r"de\.\S+\.service", "usr/share/dbus-1/system-services/{0}"),
    (r"ota-agent\S*\.(service|socket|timer|path|target|slice)", "usr/lib/systemd/system/{0}"),
    (r"ota-agent\S*\.rules", "usr/share/polkit-1/rules.d/{0}"),
    (r"(ota-agent\S*)\.sysusers", "usr/lib/sysusers.d/{1}.conf"),
    (r"(ota-agent\S*)\.tmpfiles", "usr/lib/tmpfiles.d/{1}.conf"),
    (r"ota-agent\S*\.catalog", "usr/lib/systemd/catalog/{0}"),
    # Drop-ins widen the sandbox; an integrator installs those that the device needs.
    (r"ota-agent-\w+\.conf", EXAMPLES + "/{0}"),
    (r"ota-agent\.toml", EXAMPLES + "/{0}"),
    # Programs without an ending
    (r"ota-agent-[\w-]+", "usr/lib/ota-agent/{0}"),
)


def place_of(name: str) -> str:
    """The path below the root at which a file of systemd/ is installed.

    Raises:
        LookupError: nobody has said where it goes.
    """
    for pattern, place in _PLACES:
        found = re.fullmatch(pattern, name)
        if found is not None:
            return place.format(name, *found.groups())
    raise LookupError(f"systemd/{name} has no place; give it one in {Path(__file__).name}")


def dropin(name: str) -> tuple[str, str]:
    """Where a drop-in is in force, as its first lines say, and its text.

    Raises:
        LookupError: they do not say it.
    """
    text = (FILES / f"ota-agent-{name}.conf").read_text("utf-8")
    found = re.search(r"/(etc/systemd/system/ota-agent\S*\.service\.d/[\w-]+\.conf)$", text, re.MULTILINE)
    if found is None:
        raise LookupError(f"ota-agent-{name}.conf does not say where it is to be installed")
    return found[1], text


def install_tree(root: Path, dropins: Sequence[str] = ()) -> list[Path]:
    """Installs all of them below a root; returns the paths.

    Args:
        root: the directory that becomes ``/``.
        dropins: what this device needs, for example ``hooks``.
    """
    installed = []
    for source in sorted(path for path in FILES.iterdir() if path.is_file()):
        installed.append(_copy(source, root / place_of(source.name)))
    for name in dropins:
        installed.append(_copy(FILES / f"ota-agent-{name}.conf", root / dropin(name)[0]))
    return installed


def _copy(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)
    return target


if __name__ == "__main__":
    install_tree(Path(sys.argv[1]))
