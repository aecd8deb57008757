"""A build directory: its configuration, BitBake in it, and what it has made."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from layer.oe.builder import Builder
from layer.oe.checkout import Checkout
from layer.oe.programs import CALLED
from layer.oe.toolbox import WRAPPERS, Toolbox

# Packages that classes of OpenEmbedded put into images and dependencies by themselves.
_OF_CLASSES = (
    "apt base-files base-passwd dpkg packagegroup-base-extended packagegroup-core-boot packagegroup-core-ssh-dropbear "
    "packagegroup-core-ssh-openssh ptest-runner python3 python3-core run-postinsts shadow shadow-sysroot syslinux systemd "
    "systemd-boot systemd-compat-units"
)


@dataclass
class Done:
    """How BitBake ended."""

    status: int
    text: str

    @property
    def errors(self) -> list[str]:
        """What it calls an error."""
        return [line for line in self.text.splitlines() if line.startswith("ERROR:") or " QA Issue:" in line]


@dataclass
class Workspace:
    """One machine of one release.

    Args:
        checkout: of the release.
        builder: as whom everything runs.
        tools: the programs of the host.
        folder: of the build; what was built in it before is used again.
        layer: ours, or a copy of it with a defect.
        machine: of openembedded-core.
        kernel: a file that is installed as the machine's kernel.
        settings: variables of the configuration.
        in_use: whether our layer is one of those in use.
    """

    checkout: Checkout
    builder: Builder
    tools: Toolbox
    folder: Path
    layer: Path
    machine: str
    kernel: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    in_use: bool = True

    @property
    def host(self) -> Path:
        """The layer of what stands in, from the same copy of the sources."""
        return self.layer.parent / "tests" / "layer" / "oe" / "meta-host"

    @property
    def deployed(self) -> Path:
        """Where images lie."""
        return self.folder / "tmp" / "deploy" / "images" / self.machine

    def configure(self) -> None:
        """Writes conf/; the same configuration is not written again, so that nothing is parsed again."""
        conf = self.folder / "conf"
        conf.mkdir(parents=True, exist_ok=True)
        for path in (self.folder, conf):
            self.builder.own(path)
        layers = [*self.checkout.layers, *([self.layer] if self.in_use else []), self.host]
        self._write(conf / "bblayers.conf", "".join([
            'LCONF_VERSION = "7"\nBBPATH = "${TOPDIR}"\nBBFILES ?= ""\n',
            f'BBLAYERS = "{" ".join(map(str, layers))}"\n',
        ]))  # fmt: skip
        (library,) = Path("/usr/lib").glob("*/pseudo")
        host = {
            "MACHINE": self.machine,
            "HOST_TOOLS": " ".join([*CALLED, *WRAPPERS]),
            "HOST_PSEUDO_LIBDIR": str(library),
            "HOST_KERNEL": str(self.kernel),
            "HOST_GRUB_BUILDIN": self.checkout.grub_modules,
            "HOST_PACKAGES": " ".join(self.stand_ins()),
            "HOST_RECIPES": " ".join(sorted(self._assumed())),
        }
        if self.checkout.series == "scarthgap":
            host["TCLIBCAPPEND"] = ""  # else the folder is tmp-glibc, as no longer in later releases
        # BitBake never changes links to programs that it has made once.
        shutil.rmtree(self.folder / "tmp" / "hosttools", ignore_errors=True)
        text = "".join(f'{name} = "{value}"\n' for name, value in {**host, **self.settings}.items())
        self._write(conf / "local.conf", text + "require conf/host.conf\n")

    def stand_ins(self) -> list[str]:
        """The names that the layer's files hold, of those which packages of the checkout have."""
        words: set[str] = set(_OF_CLASSES.split())
        for path in self.layer.rglob("*"):
            if path.suffix in (".bb", ".inc", ".bbclass", ".bbappend", ".conf"):
                words |= set(re.findall(r"[a-z0-9][a-z0-9+.-]*[a-z0-9]", path.read_text()))
        own = {path.stem.partition("_")[0] for layer in (self.layer, self.host) for path in layer.rglob("*.bb")}
        names = words & self.checkout.packages
        return sorted(
            name for name in names - own if not re.search(r"-(native|cross|dev|dbg|src|doc|staticdev)$", name)
        )

    def bitbake(self, *arguments: str) -> Done:
        """Runs BitBake; what was said is in the answer, whatever the end."""
        return self._run(self.checkout.bitbake, *arguments)

    def check_layer(self) -> Done:
        """Runs the tests of openembedded-core for layers on ours, which must not be in use: they add it themselves."""
        dependencies = [str(layer) for layer in self.checkout.layers[1:]]
        arguments = ["--no-auto-dependency", "--dependency", *dependencies, "--", str(self.layer)]
        return self._run(self.checkout.core / "scripts" / "yocto-check-layer", *arguments)

    def _run(self, program: Path, *arguments: str) -> Done:
        environment = self.builder.environment(
            self.tools.bin, self.checkout.bitbake.parent, self.checkout.core / "scripts"
        )
        environment |= {"BBPATH": str(self.folder), "BUILDDIR": str(self.folder)}
        done = subprocess.run(
            self.builder.command(program, *arguments), cwd=self.folder, env=environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        return Done(done.returncode, done.stdout)

    def build(self, *targets: str) -> str:
        """Builds, or tells the errors.

        Raises:
            AssertionError: it failed.
        """
        done = self.bitbake(*targets)
        assert done.status == 0, done.text[-6000:]
        return done.text

    def variables(self, recipe: str) -> dict[str, str]:
        """What `bitbake -e` says of a recipe's variables."""
        text = self.build("-e", recipe)
        return {
            name: value.replace('\\"', '"')
            for name, value in re.findall(r'^(?:export )?([\w:.+-]+)="((?:[^"\\]|\\.)*)"$', text, re.MULTILINE)
        }

    def _assumed(self) -> set[str]:
        natives = {name if name.endswith("-native") else f"{name}-native" for name in self.checkout.recipes}
        own = {
            "pseudo-native",
            "shadow-native",
            "apt-native",
            "dpkg-native",
            "ldconfig-native",
            "python3-hatchling-native",
        }
        return natives - own - {f"{path.stem.partition('_')[0]}-native" for path in self.layer.rglob("*.bb")}

    def _write(self, path: Path, text: str) -> None:
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            path.chmod(0o644)
            self.builder.own(path)
