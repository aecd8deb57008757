"""The host's programs in the places of native recipes: Python's build tools in the release's versions, wic, small wrappers."""

from __future__ import annotations

import subprocess
from pathlib import Path

from layer.oe import programs
from layer.oe.checkout import Checkout

WRAPPERS = (
    "dpkg", "groupadd", "nativepython3", "pyproject-build", "sfdisk", "systemctl", "uboot-mkimage", "useradd", "wic",
)  # fmt: skip
_PYTHON = "/usr/bin/python3"  # root's own may lie where the builder cannot reach it
# What building a Python package and running ota-bundle want, by name; openembedded-core says in which version.
_PACKAGES = (
    "asn1crypto", "build", "cryptography", "hatchling", "installer", "packaging", "pathspec", "pluggy", "pyopenssl",
    "pyproject-hooks", "trove-classifiers",
)  # fmt: skip
_NEWEST = ("python-pkcs11",)  # the releases' 0.7.0 is not on PyPI as a wheel
# OpenEmbedded patches `python -m installer` so that it can say which interpreter scripts get; here its library does. The
# files go to where the device's Python will look for them, which is of another version than the host's.
_NATIVE_PYTHON = """#!{python}
import argparse, os, sys
if sys.argv[1:3] != ["-m", "installer"]:
    os.execv("{python}", ["{python}", *sys.argv[1:]])
from installer import install
from installer.destinations import SchemeDictionaryDestination
from installer.sources import WheelFile
parser = argparse.ArgumentParser()
for name in ("--interpreter", "--destdir", "--compile-bytecode"):
    parser.add_argument(name)
parser.add_argument("--prefix", default="/usr")
parser.add_argument("wheel")
asked = parser.parse_args(sys.argv[3:])
version = os.environ["HOST_PYTHON_VERSION"]
packages = f"{{asked.prefix}}/lib/python{{version}}/site-packages"
scheme = {{"purelib": packages, "platlib": packages, "headers": f"{{asked.prefix}}/include/python{{version}}",
           "scripts": f"{{asked.prefix}}/bin", "data": asked.prefix}}
with WheelFile.open(asked.wheel) as wheel:
    target = SchemeDictionaryDestination(scheme, interpreter=asked.interpreter, script_kind="posix", destdir=asked.destdir)
    install(wheel, target, additional_metadata={{"INSTALLER": b"installer"}})
"""
_BUILD = '#!/bin/sh\nexec {python} -m build "$@"\n'
# Only ever in the root that is being filled, never on the host.
_SYSTEMCTL = """#!/bin/sh
for word in "$@"; do
    case "$word" in --root=?*) exec {systemctl} "$@" ;; esac
done
"""
# OpenEmbedded's dpkg tells scripts of packages in D where the root is; Debian's has another name for that.
_DPKG = """#!/bin/sh
for word in "$@"; do
    case "$word" in --root=?*) export D="${word#--root=}" ;; esac
done
exec /usr/bin/dpkg --log=/dev/null "$@"
"""
# Debian's change the host's users unless root lets them chroot(2); these only write into the root that --root names.
_ACCOUNTS = """#!{python}
import argparse, pathlib, sys
parser = argparse.ArgumentParser()
parser.add_argument("--root", "--prefix", dest="root", required=True)  # blacksail says --prefix
for option in ("--home-dir", "--shell", "--comment", "--groups", "--gid", "--uid"):
    parser.add_argument(option, default="")
for option in ("--system", "--no-create-home", "--user-group"):
    parser.add_argument(option, action="store_true")
parser.add_argument("name")
asked = parser.parse_args()
etc = pathlib.Path(asked.root, "etc")
def add(file, line):
    path, lines = etc / file, (etc / file).read_text().splitlines()
    if not any(each.startswith(line.split(":")[0] + ":") for each in lines):
        path.write_text("\\n".join([*lines, line]) + "\\n")
number = 900 + sum(len((etc / file).read_text().splitlines()) for file in ("passwd", "group"))
add("group", f"{{asked.name}}:x:{{number}}:")
if sys.argv[0].endswith("useradd"):
    add("passwd", f"{{asked.name}}:x:{{number}}:{{number}}:{{asked.comment}}:{{asked.home_dir or '/'}}:{{asked.shell}}")
    for group in filter(None, asked.groups.split(",")):
        lines = (etc / "group").read_text().splitlines()
        more = [("" if each.endswith(":") else ",") + asked.name if each.startswith(group + ":") else "" for each in lines]
        lines = [each + member for each, member in zip(lines, more)]
        (etc / "group").write_text("\\n".join(lines) + "\\n")
"""
# 512 is what older versions, which do not know the option, assume.
_SFDISK = """#!/bin/sh
if [ "$1" = --sector-size ] && [ "$2" = 512 ]; then shift 2; fi
exec /usr/sbin/sfdisk "$@"
"""
_MKIMAGE = '#!/bin/sh\nexec /usr/bin/mkimage "$@"\n'
_WIC = '#!/bin/sh\nPYTHONPATH={core}/meta/lib:{bitbake} exec {python} {wic}/scripts/wic "$@"\n'


class Toolbox:
    """What stands on the builder's path.

    Args:
        checkout: of a release.
        folder: made when it is missing; kept between builds.
    """

    def __init__(self, checkout: Checkout, folder: Path) -> None:
        self._checkout, self._folder = checkout, folder
        self.bin = folder / "bin"
        self.python = folder / "python" / "bin" / "python"

    def fill(self) -> None:
        """Gets what is missing, from PyPI and from the history of the checkout.

        Raises:
            LookupError: programs are missing; names them and the packages that they are in.
        """
        programs.require()
        self.bin.mkdir(parents=True, exist_ok=True)
        self._fill_python()
        self.script("nativepython3", _NATIVE_PYTHON.format(python=self.python))
        self.script("pyproject-build", _BUILD.format(python=self.python))
        self.script("systemctl", _SYSTEMCTL.format(systemctl=f"{_PYTHON} {self._systemctl()}"))
        self.script("dpkg", _DPKG)
        self.script("sfdisk", _SFDISK)
        for name in ("groupadd", "useradd"):
            self.script(name, _ACCOUNTS.format(python=_PYTHON))
        self.script("uboot-mkimage", _MKIMAGE)
        wic, bitbake = self._wic(), self._checkout.root / "bitbake" / "lib"
        self.script("wic", _WIC.format(python=_PYTHON, core=self._checkout.core, bitbake=bitbake, wic=wic))

    def script(self, name: str, text: str) -> None:
        """Puts a program on the path."""
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)

    def _fill_python(self) -> None:
        wanted = [f"{name}=={self._checkout.version(f'python3-{name}')}" for name in _PACKAGES]
        wanted += _NEWEST
        stamp = self._folder / "python" / "ready"
        if stamp.exists() and stamp.read_text() == "\n".join(wanted):
            return
        subprocess.run([_PYTHON, "-m", "venv", "--clear", self._folder / "python"], check=True)
        pip = [self.python, "-m", "pip", "--disable-pip-version-check", "-q", "install"]
        subprocess.run([*pip, *wanted], check=True)
        stamp.write_text("\n".join(wanted))

    def _wic(self) -> Path:
        """The directory above scripts/wic; newer releases have a repository of it instead."""
        parts = ("scripts/wic", "scripts/lib/wic", "scripts/lib/scriptpath.py", "scripts/lib/argparse_oe.py")
        return self._last("wic", *parts)

    def _systemctl(self) -> Path:
        """The program in Python that enables units; newer releases build systemd's own, which Debian's pseudo does not bear."""
        part = "meta/recipes-core/systemd/systemd-systemctl/systemctl"
        return self._last("systemctl", part) / part

    def _last(self, name: str, *parts: str) -> Path:
        """A directory with parts of openembedded-core, as they were when it had them last.

        Raises:
            LookupError: neither the checkout nor its history has them.
        """
        if (self._checkout.core / parts[0]).exists():
            return self._checkout.core
        own = self._folder / name
        if not own.exists():
            removed = self._checkout.git(
                "openembedded-core", "log", "-1", "--format=%H", "--diff-filter=D", "--", parts[0]
            )
            if not removed:
                raise LookupError(f"openembedded-core has no {parts[0]}, nor has its history: is the clone shallow?")
            made = own.with_suffix(".partial")
            made.mkdir(exist_ok=True)
            archive = [
                "git",
                "-c",
                "safe.directory=*",
                "-C",
                str(self._checkout.core),
                "archive",
                f"{removed}^",
                *parts,
            ]
            tree = subprocess.run(archive, check=True, capture_output=True).stdout
            subprocess.run(["tar", "-x", "-C", made], input=tree, check=True)
            made.rename(own)
        return own
