"""As whom a build runs: BitBake refuses root, so root becomes the owner of the checkout, or nobody."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

from layer.oe.checkout import Checkout


class Builder:
    """A user without rights.

    Args:
        checkout: whose owner it is, when the tests run as root.
        home: its home, which is made.
    """

    def __init__(self, checkout: Checkout, home: Path) -> None:
        self.home = home
        owner = checkout.root.stat().st_uid
        self.uid = os.geteuid() or owner or pwd.getpwnam("nobody").pw_uid
        self.home.mkdir(parents=True, exist_ok=True)
        self.own(self.home)

    def own(self, path: Path) -> None:
        """Makes a directory the builder's; what lies in it stays as it is."""
        if os.geteuid() == 0:
            os.chown(path, self.uid, pwd.getpwuid(self.uid).pw_gid)

    def command(self, *command: str | Path) -> list[str]:
        """A command as the builder."""
        if os.geteuid() != 0:
            return [str(word) for word in command]
        gid = pwd.getpwuid(self.uid).pw_gid
        prefix = [shutil.which("setpriv") or "setpriv", f"--reuid={self.uid}", f"--regid={gid}", "--clear-groups"]
        return [*prefix, *(str(word) for word in command)]

    def environment(self, *path: Path) -> dict[str, str]:
        """Its environment.

        Args:
            path: where programs are looked for first.
        """
        name = pwd.getpwuid(self.uid).pw_name
        folders = [
            *(str(each) for each in path),
            "/usr/local/sbin",
            "/usr/local/bin",
            "/usr/sbin",
            "/usr/bin",
            "/sbin",
            "/bin",
        ]
        return {
            "HOME": str(self.home), "USER": name, "LOGNAME": name, "SHELL": "/bin/bash", "LANG": "en_US.UTF-8",
            "TERM": "dumb", "PATH": ":".join(folders),
            "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
        }  # fmt: skip
