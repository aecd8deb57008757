"""What a device would send to a server, by hand: for tests of servers, not of our client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import requests

from agent.demo.server import DevServer
from agent.hawkbit import feedback

TOKEN = "tok"


class Device:
    """What a device would send, by hand."""

    def __init__(self, server: DevServer, controller_id: str = "dev1", auth: str = f"TargetToken {TOKEN}") -> None:
        self.base = server.controller_url(controller_id)
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = auth

    def get(self, path: str = "", **headers: str) -> requests.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = path if path.startswith("http") else f"{self.base}{path}"
        return self.session.get(url, headers=named, timeout=10)

    def send(self, method: str, path: str, document: Any, content_type: str = "application/json") -> int:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        answer = self.session.request(
            method, f"{self.base}{path}", data=body, headers={"Content-Type": content_type}, timeout=10
        )
        return answer.status_code

    def say(self, message: feedback.Feedback, timestamp: int | None = None) -> int:
        return self.send("POST", f"/{message.path}", message.body(timestamp))

    def raw(
        self, action: str, execution: str, finished: str = "none", kind: str = "deploymentBase", **more: Any
    ) -> int:
        status = {"execution": execution, "result": {"finished": finished}, **more}
        return self.send("POST", f"/{kind}/{action}/feedback", {"status": status})


def links(device: Device) -> set[str]:
    """The names of the links that a poll brings."""
    return set(device.get().json()["_links"])


def kinds(server: DevServer, action: str) -> list[str]:
    """The types of the lines in an action's history."""
    return [entry.type for entry in server.history(action)]


def small_file(directory: Path) -> Path:
    """A file to assign."""
    path = directory / "small.raucb"
    path.write_bytes(bytes(range(256)) * 4)
    return path
