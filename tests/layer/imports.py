"""Which modules the agent imports, and which packages of OpenEmbedded hold them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable
from pathlib import Path

from layer.paths import ROOT

OURS = ("agent", "slots", "bootloader_env")
# OpenEmbedded splits the standard library. What is not named here is in python3-core, in every release that we support; the
# builds of tests/layer/builds hold this table against the manifest of the checkout.
STANDARD = {
    "asyncio": "python3-asyncio", "base64": "python3-netclient", "concurrent": "python3-asyncio", "ctypes": "python3-ctypes",
    "curses": "python3-curses", "datetime": "python3-datetime", "decimal": "python3-numbers", "difflib": "python3-difflib",
    "email": "python3-email", "fcntl": "python3-fcntl", "getpass": "python3-unixadmin", "glob": "python3-shell",
    "gzip": "python3-compression", "hashlib": "python3-crypt", "hmac": "python3-netclient", "html": "python3-html",
    "http": "python3-netclient", "json": "python3-json", "logging": "python3-logging", "mmap": "python3-mmap",
    "multiprocessing": "python3-multiprocessing", "pickle": "python3-pickle", "pprint": "python3-pprint",
    "queue": "python3-threading", "random": "python3-math", "resource": "python3-resource", "secrets": "python3-netclient",
    "shlex": "python3-shell", "socket": "python3-io", "sqlite3": "python3-sqlite3", "ssl": "python3-io",
    "string": "python3-stringold", "syslog": "python3-syslog", "tarfile": "python3-compression", "tempfile": "python3-io",
    "tomllib": "python3-tomllib", "unittest": "python3-unittest", "urllib.request": "python3-netclient",
    "uuid": "python3-netclient",
    "xml": "python3-xml", "zipfile": "python3-compression", "zoneinfo": "python3-zoneinfo",
}  # fmt: skip
OTHERS = {
    "asn1crypto": "python3-asn1crypto", "cryptography": "python3-cryptography", "gi": "python3-pygobject",
    "pydbus": "python3-pydbus", "pyudev": "python3-pyudev", "requests": "python3-requests", "systemd": "python3-systemd",
    "urllib3": "python3-urllib3", "OpenSSL": "python3-pyopenssl",
}  # fmt: skip
# Imported where they are, done without where they are not.
OPTIONAL = {"zstandard", "lz4", "pkcs11", "backports", "compression"}
# cryptography builds chains of certificates itself from version 45 on.
ONLY_BEFORE_45 = {"OpenSSL"}


def modules(paths: Iterable[Path]) -> set[str]:
    """The absolute imports of files, at whatever place; ``from a import b`` is a and a.b."""
    found: set[str] = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {each.name for each in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
    return found


def packages(names: Iterable[str], without: Iterable[str] = ()) -> set[str]:
    """The packages that hold these modules.

    Raises:
        LookupError: nobody has said where one is.
    """
    found = set()
    for name in names:
        top = name.partition(".")[0]
        if top in OURS or top in OPTIONAL or top in without:
            continue
        if top in sys.stdlib_module_names:
            found.add(STANDARD.get(name) or STANDARD.get(top) or "python3-core")
        elif top in OTHERS:
            found.add(OTHERS[top])
        else:
            raise LookupError(f"{top}: say in {Path(__file__).name} which package holds it")
    return found


def files(*tops: str, without: Iterable[str] = ()) -> list[Path]:
    """Modules of the tree."""
    left = [ROOT / each for each in without]
    return [
        path
        for top in tops
        for path in (ROOT / top).rglob("*.py")
        if not any(path.is_relative_to(each) for each in left)
    ]


def reachable(start: str) -> list[Path]:
    """A module, and everything of ours that it leads to."""
    found: dict[Path, None] = {}
    waiting = [start]
    while waiting:
        for path in _candidates(waiting.pop()):
            if path.is_file() and path not in found:
                found[path] = None
                waiting += [name for name in modules([path]) if name.partition(".")[0] in OURS]
    return list(found)


def _candidates(name: str) -> list[Path]:
    base = ROOT.joinpath(*name.split("."))
    parents = [ROOT.joinpath(*name.split(".")[:count], "__init__.py") for count in range(1, name.count(".") + 1)]
    return [base.with_suffix(".py"), base / "__init__.py", *parents]
