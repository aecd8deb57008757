"""The checkouts of a release: bitbake, openembedded-core and meta-openembedded side by side in one directory."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PARTS = ("bitbake", "openembedded-core", "meta-openembedded")
_RECIPES = ("openembedded-core/meta", "meta-openembedded/meta-oe", "meta-openembedded/meta-python")


@dataclass(frozen=True)
class Checkout:
    """What of a release is on this machine.

    Args:
        root: the directory that ``OE_ROOT`` names.
    """

    root: Path

    @classmethod
    def asked(cls) -> Checkout:
        """The checkout that ``OE_ROOT`` names.

        Raises:
            LookupError: something is missing in it, or nothing is named.
        """
        checkout = cls(Path(os.environ.get("OE_ROOT") or "/nonexistent").resolve())
        lacking = [part for part in PARTS if not (checkout.root / part).is_dir()]
        if lacking:
            raise LookupError(f"OE_ROOT={checkout.root} lacks {', '.join(lacking)}: docs/yocto-validation.md")
        return checkout

    @property
    def core(self) -> Path:
        """openembedded-core."""
        return self.root / "openembedded-core"

    @property
    def bitbake(self) -> Path:
        """The program."""
        return self.root / "bitbake" / "bin" / "bitbake"

    @property
    def layers(self) -> list[Path]:
        """The layers that ours depends on."""
        return [self.root / part for part in _RECIPES]

    @cached_property
    def series(self) -> str:
        """The newest code name that the core layer has, for example scarthgap."""
        text = (self.core / "meta" / "conf" / "layer.conf").read_text()
        found = re.search(r'^LAYERSERIES_CORENAMES = "(?:.*\s)?(\S+)"', text, re.MULTILINE)
        assert found, "openembedded-core/meta/conf/layer.conf names no series"
        return found[1]

    def commit(self, part: str) -> str:
        """The commit that is checked out."""
        return self.git(part, "rev-parse", "HEAD")

    def git(self, part: str, *arguments: str) -> str:
        """What git says about one of the checkouts, whoever owns it."""
        command = ["git", "-c", "safe.directory=*", "-C", str(self.root / part), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def version(self, recipe: str) -> str:
        """The version of a recipe of openembedded-core, as its file name says, or a file beside it.

        Raises:
            LookupError: there is no such recipe.
        """
        for path in (self.core / "meta").glob(f"recipes-*/*/{recipe}_*.bb"):
            return path.stem.rpartition("_")[2]
        for path in (self.core / "meta").glob(f"recipes-*/*/{recipe}*.*"):
            if found := re.search(r'^PV = "([^"]+)"', path.read_text(), re.MULTILINE):
                return found[1]
        raise LookupError(recipe)

    @cached_property
    def grub_modules(self) -> str:
        """What openembedded-core builds into GRUB for EFI."""
        (path,) = (self.core / "meta").glob("recipes-bsp/grub/grub-efi_*.bb")
        found = re.search(r'^GRUB_BUILDIN \?= "([^"]+)"', path.read_text(), re.MULTILINE)
        assert found, f"{path} does not say what is built in"
        return " ".join(found[1].replace("\\", " ").split())

    @cached_property
    def recipes(self) -> dict[str, str]:
        """Every recipe of the layers: its name and its text."""
        return {path.stem.partition("_")[0]: text for path, text in self._texts("bb")}

    @cached_property
    def packages(self) -> frozenset[str]:
        """Every name that a package of these layers may have: recipes, and the parts that they name."""
        names = set(self.recipes)
        includes = "\n".join(text for _, text in self._texts("inc"))
        for recipe, text in self.recipes.items():
            names |= {recipe + part for part in re.findall(r"\$\{B?PN\}(-[a-z0-9-]+[a-z0-9])", text)}
            names |= set(_provided(text))
            for value in re.findall(r"""^PACKAGES\S* \+?=\+? ["']([^"']*)["']""", text, re.MULTILINE):
                names |= {word for word in value.replace("\\", " ").split() if "$" not in word}
            names |= set(re.findall(r"^(?:FILES|RDEPENDS|SUMMARY):([a-z0-9+.-]+)", text, re.MULTILINE))
        names |= set(_provided(includes))
        names |= {f"{name}-native" for name in self.recipes}
        return frozenset(names | set(self.python_packages))

    @cached_property
    def python_packages(self) -> dict[str, list[str]]:
        """The packages of Python's standard library, with the paths that each holds."""
        (path,) = (self.core / "meta").glob("recipes-devtools/python/python3/python3-manifest.json")
        # Its comment ends with this line, and shows braces before it.
        manifest = json.loads(path.read_text().partition("# EOC\n")[2])
        return {f"python3-{name}": content["files"] for name, content in manifest.items()}

    def _texts(self, suffix: str) -> Iterator[tuple[Path, str]]:
        for layer in self.layers:
            for path in layer.glob(f"recipes-*/**/*.{suffix}"):
                yield path, path.read_text(errors="replace")


def _provided(text: str) -> Iterator[str]:
    for value in re.findall(r'^R?PROVIDES\S*\s*[+?:]*=\s*"([^"]*)"', text, re.MULTILINE):
        yield from (word for word in value.replace("\\", " ").split() if "$" not in word and "/" not in word)
