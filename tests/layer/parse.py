"""BitBake's own parser over the layer: ``python parse.py LAYER MACHINE SERIES`` prints every recipe's variables as JSON.

The parser is a library without OpenEmbedded's classes and ``bitbake.conf``: classes that are not ours are empty here, and of
the configuration there is only what our files read. A process of its own, because the library is one big global state.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

# What bitbake.conf says of all releases that we support, where our files read it.
_BITBAKE_CONF = {
    "base_prefix": "", "prefix": "/usr", "bindir": "${prefix}/bin", "libdir": "${prefix}/lib",
    "nonarch_libdir": "${prefix}/lib",
    "datadir": "${prefix}/share", "mandir": "${datadir}/man", "sysconfdir": "/etc", "localstatedir": "/var",
    "systemd_system_unitdir": "${nonarch_libdir}/systemd/system", "BPN": "${PN}", "BP": "${BPN}-${PV}",
    "WORKDIR": "/build/work/${PN}", "UNPACKDIR": "${WORKDIR}/sources", "S": "${UNPACKDIR}/${BP}", "B": "${S}",
    "D": "${WORKDIR}/image",
    "TARGET_VENDOR": "-oe", "TARGET_ARCH": "x86_64", "MACHINE_ARCH": "${MACHINE}", "DISTRO_VERSION": "1.0",
    "DISTRO_FEATURES": "systemd usrmerge ota-agent", "DEPLOY_DIR_IMAGE": "/build/deploy", "DEPLOYDIR": "${WORKDIR}/deploy",
    "IMGDEPLOYDIR": "${WORKDIR}/images", "IMAGE_LINK_NAME": "${PN}-${MACHINE}.rootfs", "IMAGE_MACHINE_SUFFIX": "-${MACHINE}",
    "IMAGE_NAME_SUFFIX": ".rootfs", "IMAGE_ROOTFS": "${WORKDIR}/rootfs", "DATETIME": "20260101000000",
    "PEP517_INSTALL_PYTHON": "python3",
    "PEP517_WHEEL_PATH": "${WORKDIR}/dist", "PN": "${@bb.parse.vars_from_file(d.getVar('FILE', False), d)[0]}",
    "PV": "${@bb.parse.vars_from_file(d.getVar('FILE', False), d)[1] or '1.0'}",
}  # fmt: skip
_KERNELS = {"qemux86-64": "bzImage", "qemuarm64": "Image"}
# Classes of OpenEmbedded that both releases have.
_CLASSES = (
    "allarch", "bash-completion", "core-image", "create-spdx", "deploy", "features_check", "image-artifact-names", "native",
    "nativesdk", "nopackages", "packagegroup", "ptest", "python3-dir", "python3native", "python_hatchling", "systemd",
    "useradd",
)  # fmt: skip


class _NoSignatures:
    def finalise(self, *_: Any) -> None:
        """No task is run."""


def main(layer: Path, machine: str, series: str) -> None:
    """Parses layer.conf, then each recipe."""
    # What only servers of BitBake need lies in other libraries.
    for name in ("hashserv", "hashserv.client", "prserv"):
        sys.modules[name] = types.ModuleType(name)
    import bb
    import bb.cookerdata
    import bb.data
    import bb.event
    import bb.parse
    import bb.siggen
    import bb.utils

    bb.event.worker_fired = False
    bb.parse.siggen = _NoSignatures()
    with tempfile.TemporaryDirectory() as folder:
        for name in _CLASSES:
            path = Path(folder, "classes-recipe", f"{name}.bbclass")
            path.parent.mkdir(exist_ok=True)
            path.write_text('LICENSE ?= "MIT"\n' if name in ("core-image", "packagegroup") else "")
        base = bb.data.init()
        values = {
            **_BITBAKE_CONF,
            "MACHINE": machine,
            "KERNEL_IMAGETYPE": _KERNELS[machine],
            "LAYERSERIES_CORENAMES": series,
        }
        for name, value in {**values, "BBPATH": f"{folder}:{layer}", "LAYERDIR": str(layer)}.items():
            base.setVar(name, value)
        base.setVar("OVERRIDES", f"{machine}:pn-${{PN}}")
        base.setVar("__BBHANDLERS", {})
        base = bb.parse.handle(str(layer / "conf" / "layer.conf"), base, 0, baseconfig=True)
        found = {path.stem: _recipe(bb, path, base) for path in sorted(layer.rglob("*.bb"))}
    json.dump(found, sys.stdout)


def _recipe(bb: Any, path: Path, base: Any) -> dict[str, Any]:
    data = base.createCopy()
    data.setVar("__bbclasstype", "recipe")
    os.chdir(path.parent)
    data = bb.parse.handle(str(path), data, 0)[""]
    variables, flags = {}, {}
    for name in data.keys():  # noqa: SIM118  # it is no mapping
        if name.startswith("__"):
            continue
        if not data.getVarFlag(name, "func", False):
            variables[name] = data.getVar(name)
        flags[name] = {key: value for key, value in (data.getVarFlags(name) or {}).items() if isinstance(value, str)}
    return {
        "skipped": data.getVar("__SKIPPED") or "",
        "tasks": list(data.getVar("__BBTASKS", False) or []),
        "variables": {name: value for name, value in variables.items() if isinstance(value, str)},
        "flags": {name: value for name, value in flags.items() if value},
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
