"""Everything for a build of our layer in one place: the sources it takes, keys, kernels, and the workspace."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

from boot.lab.debs import Arch
from boot.lab.kernel import kernel
from boot.lab.system import INITRD_NAME

from layer.oe.builder import Builder
from layer.oe.checkout import Checkout
from layer.oe.debian_root import archive
from layer.oe.toolbox import Toolbox
from layer.oe.workspace import Workspace
from layer.paths import ROOT

# What the recipes take from the tree, and the layer itself.
PARTS = (
    "LICENSE", "README.md", "pyproject.toml", "agent", "bootloader_env", "docs", "meta-ota-agent", "slots", "systemd", "tests",
    "tools",
)  # fmt: skip
SLOT = "64M"
ARCHITECTURES: Mapping[str, Arch] = {"qemux86-64": "amd64", "qemuarm64": "arm64"}
IMAGE, BUNDLE = "ota-image-minimal", "ota-bundle-minimal"
# Of an image with Debian's root. A kernel on a busy host mistakes the host's pauses for defects of the timers.
VERSION = "2.0.0"
_WHOLE: Mapping[str, str] = {
    "IMAGE_CLASSES:append": " host-root",
    "DISTRO_VERSION": VERSION,
    "OTA_AB_SLOT_SIZE": "288M",
    "OTA_AB_DATA_SIZE": "64M",
    "IMAGE_OVERHEAD_FACTOR": "1.1",
    "OTA_INITRD_PATH": f"/{INITRD_NAME}",
    "OTA_KERNEL_ARGS:append": " quiet loglevel=4",
    "OTA_KERNEL_ARGS:append:qemux86-64": " tsc=reliable no_timer_check",
}


class Lab:
    """All builds of one release.

    Args:
        checkout: of it.
        home: where builds lie; they are used again by the next run.
    """

    def __init__(self, checkout: Checkout, home: Path) -> None:
        self.checkout = checkout
        self.home = home / checkout.series
        self.builder = Builder(checkout, self.home / "home")
        self.tools = Toolbox(checkout, self.home / "tools")
        self.tools.fill()

    @classmethod
    def asked(cls) -> Lab:
        """For ``OE_ROOT``, below ``build/layer`` or where ``OTA_LAYER_BUILD`` says."""
        return cls(Checkout.asked(), Path(os.environ.get("OTA_LAYER_BUILD") or ROOT / "build" / "layer"))

    @cached_property
    def keys(self) -> Path:
        """A folder with the key ``signer.key`` and its certificate ``signer.pem``, which is the keyring, too.

        The agent wants codeSigning of a signer; RAUC, unless it is told otherwise, what S/MIME wants.
        """
        folder = self.home / "keys"
        if not (folder / "signer.pem").exists():
            folder.mkdir(exist_ok=True)
            command = [
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:3072",
                "-nodes",
                "-days",
                "3650",
                "-subj",
                "/CN=layer test",
            ]
            for more in (
                "extendedKeyUsage=codeSigning,emailProtection",
                "keyUsage=critical,digitalSignature,keyCertSign",
            ):
                command += ["-addext", more]
            names = ["-keyout", str(folder / "signer.key"), "-out", str(folder / "signer.pem")]
            subprocess.run([*command, *names], check=True, capture_output=True)
            (folder / "signer.key").chmod(0o644)  # it signs for tests, and the builder must read it
        return folder

    @cached_property
    def sstate(self) -> Path:
        """What builds of this release share."""
        folder = self.home / "sstate"
        folder.mkdir(exist_ok=True)
        self.builder.own(folder)
        return folder

    def tree(self, name: str = "tree", change: Callable[[Path], None] | None = None) -> Path:
        """A copy of the sources that no other test changes.

        Args:
            name: of the copy.
            change: what is done to it, for example a defect.
        """
        target = self.home / name
        fresh = self.home / f"{name}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, fresh / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, fresh / part)
        if change is not None:
            change(fresh)
        # A file that is the same keeps its time, so that BitBake does not parse everything again.
        for path in (each for each in fresh.rglob("*") if each.is_file()):
            before = target / path.relative_to(fresh)
            if before.is_file() and before.read_bytes() == path.read_bytes():
                shutil.copystat(before, path)
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)
        return target

    def whole(self, machine: str, tree: Path) -> Workspace:
        """The build of a machine whose image has Debian's root, and boots to its services."""
        settings = {**_WHOLE, "HOST_ROOT": str(archive(ARCHITECTURES[machine]))}
        return self.workspace(machine, tree, f"{machine}-whole", settings)

    def workspace(
        self,
        machine: str,
        tree: Path,
        folder: str = "",
        settings: Mapping[str, str] | None = None,
        *,
        in_use: bool = True,
    ) -> Workspace:
        """The build of a machine, configured.

        Args:
            machine: of openembedded-core.
            tree: the sources.
            folder: of the build; the machine's name if it is empty.
            settings: further variables of the configuration.
            in_use: whether our layer is one of those in use.
        """
        wanted = {
            "OTA_KEY_FILE": str(self.keys / "signer.key"),
            "OTA_CERT_FILE": str(self.keys / "signer.pem"),
            "OTA_KEYRING_FILE": str(self.keys / "signer.pem"),
            "OTA_AB_SLOT_SIZE": SLOT,
            "OTA_AB_DATA_SIZE": "32M",
            "SSTATE_DIR": str(self.sstate),
            "BB_HASHSERVE_DB_DIR": str(self.sstate),
        }
        image = kernel(ARCHITECTURES[machine]).image
        made = Workspace(
            self.checkout,
            self.builder,
            self.tools,
            self.home / (folder or machine),
            tree / "meta-ota-agent",
            machine,
            image,
            wanted | dict(settings or {}),
            in_use,
        )
        made.configure()
        return made
