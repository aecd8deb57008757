"""goosebit as a process, and its own management API: another server that speaks hawkBit's DDI v1."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from hawkbit.java import Unavailable, free_port
from hawkbit.process import served

HOME = Path(__file__).resolve().parents[2] / "build" / "goosebit"
VERSION = "0.2.12"
START = 120  # seconds; 4 on a quiet machine
_AERICH = """[tool.aerich]
tortoise_orm = "goosebit.db.config.TORTOISE_CONF"
location = "{migrations}"
src_folder = "."
"""


class Goosebit:
    """The operator of goosebit.

    Args:
        url: scheme, host and port; nobody has used the server yet.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._token = ""
        made = self._send("POST", "/setup", data={"username": "admin", "password": "admin"})
        self._token = made["access_token"]

    def _send(self, method: str, path: str, **more: Any) -> Any:
        with requests.Session() as session:
            session.trust_env = False
            headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
            answer = session.request(method, f"{self.url}{path}", headers=headers, timeout=60, **more)
        if answer.status_code != 200:
            raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text[:2000]}")
        return answer.json()

    def upload(self, bundle: Path) -> int:
        """Uploads a RAUC bundle, which the server looks into; returns the software's id, which is the action's as well."""
        with bundle.open("rb") as file:
            return int(self._send("PUT", "/api/v1/software", files={"file": (bundle.name, file)})["id"])

    def target(self, controller_id: str, token: str) -> None:
        """Makes a device known."""
        self._send("PUT", "/api/v1/devices", json={"devices": [controller_id], "auth_token": token})

    def assign(self, software: int, controller_id: str) -> None:
        """Gives software to a device whose hardware is known, see ``hw_boardname``."""
        self.change(controller_id, software=str(software))

    def change(self, controller_id: str, **values: object) -> None:
        """Sets values of a device: ``force_update``, ``pinned``, ..."""
        self._send("PATCH", "/api/v1/devices", json={"devices": [controller_id], **values})

    def device(self, controller_id: str) -> Mapping[str, Any]:
        """A device as the operator sees it: ``last_state``, ``sw_version``, ...

        It is read from the list: the address of one device with assigned software answers 500 in 0.2.12.
        """
        (found,) = [each for each in self._send("GET", "/api/v1/devices")["devices"] if each["id"] == controller_id]
        return dict(found)

    def log(self, controller_id: str) -> str:
        """The details of all feedback since the last deployment began."""
        return str(self._send("GET", f"/api/v1/devices/{controller_id}/log")["log"] or "")


@contextmanager
def running_goosebit(directory: Path) -> Iterator[str]:
    """Runs goosebit in a folder, for devices that it knows with their tokens; yields the address.

    Raises:
        Unavailable: it is not on this machine.
        AssertionError: it did not start; tells its log.
    """
    if not (HOME / "ready").exists():
        raise Unavailable("build/goosebit is missing: tools/hawkbit_servers.py makes it")
    (package,) = HOME.glob("lib/python*/site-packages/goosebit")
    (directory / "pyproject.toml").write_text(_AERICH.format(migrations=package / "db" / "migrations"))
    environment = {
        **os.environ,
        "GOOSEBIT_DB_URI": f"sqlite:///{directory / 'db.sqlite3'}",
        "GOOSEBIT_ARTIFACTS_DIR": str(directory / "artifacts"),
        "GOOSEBIT_DEVICE_AUTH__ENABLE": "true",
        "GOOSEBIT_DEVICE_AUTH__MODE": "strict",
    }
    made = subprocess.run(
        [HOME / "bin" / "aerich", "upgrade"],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr[-4000:]
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [HOME / "bin" / "uvicorn", "goosebit:app", "--host", "127.0.0.1", "--port", str(port)]
    with served(command, directory, f"{url}/login", patience=START, environment=environment):
        yield url
