"""A server and what a test needs of it: devices by hand, bundles, assignments, and the operator's view."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from support.management import Management

from hawkbit.instances import Instance

JSON = "application/json"
ENTRIES = 100  # of one action; a tenth of the default, so that tests reach it soon


class Device:
    """A device by hand: the requests of DDI v1, and nothing that is clever.

    Args:
        base: the address that it polls.
        auth: the Authorization header; empty sends none.
        name: its controller id.
    """

    def __init__(self, base: str, auth: str, name: str) -> None:
        self.base = base
        self.name = name
        self._auth = {"Authorization": auth} if auth else {}

    def send(self, method: str, where: str, body: object = None, **headers: str) -> requests.Response:
        """One request; ``where`` is a path below the base or a link; a body is sent as JSON, bytes as they are."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        kind = {"Content-Type": JSON} if body is not None else {}
        with requests.Session() as session:
            session.trust_env = False
            return session.request(
                method,
                where if where.startswith("http") else f"{self.base}{where}",
                data=data,
                headers={**self._auth, **kind, **given},
                timeout=60,
            )

    def get(self, where: str = "", **headers: str) -> requests.Response:
        """One GET."""
        return self.send("GET", where, **headers)

    def links(self) -> dict[str, str]:
        """A poll: the links by name."""
        found = self.get().json().get("_links") or {}
        return {name: link["href"] for name, link in found.items()}

    def offer(self) -> str:
        """A poll: which resource is offered, and for which action: ``deploymentBase/8``."""
        kinds = ("confirmationBase", "cancelAction", "deploymentBase")
        offered = [
            "/".join(re.findall(rf"/({name})/(\d+)", href)[0])
            for name, href in self.links().items()
            if name in kinds and re.search(rf"/{name}/\d", href)
        ]
        return " ".join(offered)

    def document(self, action: int, query: str = "") -> dict[str, Any]:
        """The deployment of an action."""
        answer = self.get(f"/deploymentBase/{action}{query}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def say(
        self,
        action: int,
        execution: str,
        finished: str = "none",
        *details: str,
        on: str = "deploymentBase",
        **more: Any,
    ) -> int:
        """Feedback; returns the status code. ``timestamp`` goes where it belongs, everything else into ``status``."""
        outer = {"timestamp": more.pop("timestamp")} if "timestamp" in more else {}
        status = {"execution": execution, "result": {"finished": finished}, "details": list(details), **more}
        return self.send("POST", f"/{on}/{action}/feedback", {"id": action, **outer, "status": status}).status_code

    def download(self, action: int) -> str:
        """The link to the first file of a deployment."""
        (chunk,) = self.document(action)["deployment"]["chunks"]
        links = chunk["artifacts"][0]["_links"]
        return str((links.get("download") or links["download-http"])["href"])

    def attributes(self, data: Mapping[str, object], **more: object) -> int:
        """Tells attributes; returns the status code."""
        return self.send("PUT", "/configData", {"data": data, **more}).status_code


@dataclass
class Lab:
    """What a test works with."""

    instance: Instance
    home: Path

    @property
    def operator(self) -> Management:
        """The Management API."""
        assert self.instance.management
        return self.instance.management

    def device(self, **more: object) -> Device:
        """A device that is registered with a token of its own."""
        name = f"dev-{uuid.uuid4().hex[:10]}"
        self.operator.target(name, token=f"token-of-{name}", **more)
        return self.known(name)

    def known(self, name: str, auth: str | None = None) -> Device:
        """A device that may be unknown to the server."""
        return Device(
            self.instance.controller_url(name), f"TargetToken token-of-{name}" if auth is None else auth, name
        )

    def bundle(self, size: int = 1000, *, metadata: Mapping[str, str] | None = None, **more: object) -> int:
        """A distribution set with one module and one file; returns its id."""
        name = uuid.uuid4().hex[:10]
        path = self.home / f"{name}.raucb"
        path.write_bytes(bytes(range(256)) * (size // 256) + bytes(size % 256))
        module = self.operator.module(f"rootfs-{name}", "1.2.0", metadata=metadata or {})
        self.operator.artifact(module, path, "bundle.raucb")
        return self.operator.distribution(f"fw-{name}", "1.2.0", [module], **more)

    def assigned(self, type: str = "forced", size: int = 1000, **more: object) -> tuple[Device, int]:
        """A device and an action for it."""
        device = self.device()
        return device, self.operator.assign(self.bundle(size), device.name, type, **more)

    def kinds(self, device: Device, action: int) -> list[str]:
        """The types of the entries of an action, oldest first."""
        return [entry["type"] for entry in self.operator.statuses(device.name, action)][::-1]

    @contextmanager
    def configured(self, key: str, value: object, back: object) -> Iterator[None]:
        """The tenant is set up in another way for a while."""
        self.operator.configure(key, value)
        try:
            yield
        finally:
            self.operator.configure(key, back)


def window(begin: float, length: str) -> dict[str, str]:
    """A schedule that comes once: at a second of a day of a year (Quartz cron)."""
    at = time.gmtime(begin)
    return {
        "schedule": f"{at.tm_sec} {at.tm_min} {at.tm_hour} {at.tm_mday} {at.tm_mon} ? {at.tm_year}",
        "duration": length,
        "timezone": "+00:00",
    }
