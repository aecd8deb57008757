"""Files with secrets: who may read them, and where systemd puts them.

Obligations:

1. A secret is read from a file that nobody but its owner may read, and whose owner is root or the agent's own user.
2. A credential of systemd (``credential:NAME``) lies in the directory that systemd names for this service; systemd sees to
   its protection (systemd.exec(5), Credentials), so that only the world must be shut out here: on a file with an access
   control list the bits of the group show the mask.
3. What is in it is never part of an error.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from agent.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential that systemd hands to the service (``LoadCredential=``, ``LoadCredentialEncrypted=``)."""

    name: str

    def __str__(self) -> str:
        return f"credential:{self.name}"


Place = Path | Credential


def locate(place: Place) -> Path:
    """Returns the path of a secret, which need not exist if it was named as a path.

    Raises:
        ConfigError: ``config.credential-missing``.
    """
    if isinstance(place, Path):
        return place
    directory = os.environ.get("CREDENTIALS_DIRECTORY", "")
    path = Path(directory) / place.name
    if not directory or not path.is_file():
        raise ConfigError(
            "config.credential-missing",
            f"systemd has given this service no credential {place.name}",
            details=f"there is no such file in {directory}" if directory else "CREDENTIALS_DIRECTORY is not set",
            resolution=f"add LoadCredential={place.name}:/path/to/it to ota-agent-fetch@.service (without fetcher.socket to "
            "ota-agent.service), or run this from the service",
        )
    return path


def check(place: Place, what: str) -> None:
    """Checks who may read a secret; one that is not there (yet) is not at fault.

    Raises:
        ConfigError: ``config.token-readable``, ``config.secret-owner``, ``config.credential-missing``.
    """
    path = locate(place)
    try:
        status = path.stat()
    except OSError:  # it may be provisioned after the first start, and whoever checks a configuration may not get at it
        return
    _guarded(place, path, what, status)


def read(place: Place, what: str, most: int) -> bytes:
    """Reads a secret.

    Args:
        place: where it is.
        what: for error texts, for example ``token``.
        most: bytes; of a larger file one more than that is returned.

    Raises:
        OSError: it cannot be read.
        ConfigError: ``config.token-readable``, ``config.secret-owner``, ``config.credential-missing``.
    """
    path = locate(place)
    with path.open("rb") as file:
        _guarded(place, path, what, os.fstat(file.fileno()), retryable=True)  # it may be about to get its mode
        return file.read(most + 1)


def _guarded(place: Place, path: Path, what: str, status: os.stat_result, *, retryable: bool = False) -> None:
    forbidden = stat.S_IRWXO if isinstance(place, Credential) else stat.S_IRWXG | stat.S_IRWXO
    if status.st_mode & forbidden:
        raise ConfigError(
            "config.token-readable" if what == "token" else "config.secret-readable",
            f"others than its owner may read the {what} file {path}",
            details=f"its mode is {stat.S_IMODE(status.st_mode):04o}",
            resolution=f"chmod 0600 {path}, and replace the {what} if anybody may have read it",
            retryable=retryable,
        )
    if status.st_uid not in (0, os.geteuid()):
        raise ConfigError(
            "config.secret-owner",
            f"the {what} file {path} belongs to another user",
            details=f"its owner is user {status.st_uid}",
            resolution=f"chown root {path}, and replace the {what} if that user should not know it",
            retryable=retryable,
        )
