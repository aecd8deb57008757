"""hawkBit's Management API as tests use it: the same calls for the development server and for every real one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import requests

ROOT = "/rest/v1"
TIMEOUT = 60
PAGE = 500  # hawkBit's limit


class Management:
    """hawkBit's Management API over HTTP, the same for every server that has one.

    Every call has a connection of its own, so one object may be used by many threads.

    Args:
        url: scheme, host and port of the server.
        user: name of the operator.
        password: of the operator.
        verify: as in requests: a file of authorities, or whether to check the certificate at all.
    """

    def __init__(self, url: str, user: str = "admin", password: str = "admin", verify: str | bool = True) -> None:
        self.url = url.rstrip("/")
        self._login = (user, password)
        self._verify = verify

    def raw(self, method: str, path: str, body: object = None, **more: Any) -> requests.Response:
        """One request below ``/rest/v1``; whatever is answered."""
        with requests.Session() as session:
            session.trust_env = False  # a proxy of the machine is not for loopback
            return session.request(
                method,
                f"{self.url}{ROOT}{path}",
                json=body,
                auth=self._login,
                verify=self._verify,
                timeout=TIMEOUT,
                **more,
            )

    def call(
        self, method: str, path: str, body: object = None, *, expect: Sequence[int] = (200, 201, 204), **more: Any
    ) -> Any:
        """One request below ``/rest/v1``; returns the decoded answer, None when there is none.

        Raises:
            AssertionError: another status; tells the body.
        """
        answer = self.raw(method, path, body, **more)
        if answer.status_code not in expect:
            raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text[:2000]}")
        return answer.json() if answer.content else None

    def pages(self, path: str, sort: str = "id:DESC") -> list[dict[str, Any]]:
        """Everything in a list that is answered in pages."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.call("GET", f"{path}?limit={PAGE}&offset={len(found)}&sort={sort}")
            found += page["content"]
            if not page["content"] or len(found) >= page["total"]:
                return found

    def configure(self, key: str, value: object) -> None:
        """Sets a value of the tenant's configuration."""
        self.call("PUT", f"/system/configs/{key}", {"value": value})

    def target(self, controller_id: str, *, token: str = "", **more: object) -> None:
        """Registers a device; without a token the server makes one."""
        given = {"securityToken": token} if token else {}
        self.call("POST", "/targets", [{"controllerId": controller_id, "name": controller_id, **given, **more}])

    def module(self, name: str, version: str, *, type: str = "os", metadata: Mapping[str, str] = {}) -> int:
        """Makes a software module without files; the metadata is shown to devices."""
        made = self.call("POST", "/softwaremodules", [{"name": name, "version": version, "type": type}])
        number = int(made[0]["id"])
        if metadata:
            shown = [{"key": key, "value": value, "targetVisible": True} for key, value in metadata.items()]
            self.call("POST", f"/softwaremodules/{number}/metadata", shown)
        return number

    def artifact(self, module: int, path: Path, filename: str = "") -> int:
        """Uploads a file into a module."""
        with path.open("rb") as file:
            made = self.call(
                "POST", f"/softwaremodules/{module}/artifacts", files={"file": (filename or path.name, file)}
            )
        return int(made["id"])

    def distribution(self, name: str, version: str, modules: Sequence[int], **more: object) -> int:
        """Makes a distribution set."""
        listed = [{"id": module} for module in modules]
        kind = {"type": "os", **more}
        made = self.call("POST", "/distributionsets", [{"name": name, "version": version, "modules": listed, **kind}])
        return int(made[0]["id"])

    def assign(self, distribution: int, controller_id: str, type: str = "forced", **more: object) -> int:
        """Gives a set to a device; returns the action's id."""
        wish = [{"id": controller_id, "type": type, **more}]
        made = self.call("POST", f"/distributionsets/{distribution}/assignedTargets", wish)
        if not made.get("assignedActions"):
            raise AssertionError(f"nothing was assigned: {made}")
        return int(made["assignedActions"][-1]["id"])

    def action(self, controller_id: str, action: int) -> dict[str, Any]:
        """An action as the operator sees it."""
        return dict(self.call("GET", f"/targets/{controller_id}/actions/{action}"))

    def statuses(self, controller_id: str, action: int) -> list[dict[str, Any]]:
        """The history of an action, newest first."""
        return self.pages(f"/targets/{controller_id}/actions/{action}/status")

    def messages(self, controller_id: str, action: int) -> list[str]:
        """All texts in the history of an action, those of the newest entry first."""
        return [text for entry in self.statuses(controller_id, action) for text in entry["messages"]]

    def cancel(self, controller_id: str, action: int, *, force: bool = False) -> None:
        """Takes an action back; by force only after it was asked for softly."""
        self.call("DELETE", f"/targets/{controller_id}/actions/{action}{'?force=true' if force else ''}")

    def attributes(self, controller_id: str) -> dict[str, str]:
        """What the device has told about itself."""
        return dict(self.call("GET", f"/targets/{controller_id}/attributes") or {})

    def installed(self, controller_id: str) -> dict[str, Any] | None:
        """The distribution set that the server believes to run."""
        found = self.call("GET", f"/targets/{controller_id}/installedDS")
        return dict(found) if found else None

    def assigned(self, controller_id: str) -> dict[str, Any] | None:
        """The distribution set that the server wants to run."""
        found = self.call("GET", f"/targets/{controller_id}/assignedDS")
        return dict(found) if found else None

    def rollout(
        self, name: str, distribution: int, query: str, groups: Sequence[Mapping[str, object]], **more: object
    ) -> int:
        """Makes a rollout; it is ready a moment later (``until``)."""
        wish = {"name": name, "distributionSetId": distribution, "targetFilterQuery": query, "groups": list(groups)}
        return int(self.call("POST", "/rollouts", {**wish, **more})["id"])

    def rollout_status(self, rollout: int) -> dict[str, Any]:
        """A rollout: ``status``, ``totalTargetsPerStatus``."""
        return dict(self.call("GET", f"/rollouts/{rollout}"))

    def start(self, rollout: int) -> None:
        """Starts a rollout that is ready."""
        self.call("POST", f"/rollouts/{rollout}/start")

    def pause(self, rollout: int) -> None:
        """No further group is started."""
        self.call("POST", f"/rollouts/{rollout}/pause")

    def resume(self, rollout: int) -> None:
        """A paused rollout goes on."""
        self.call("POST", f"/rollouts/{rollout}/resume")

    def next_group(self, rollout: int) -> None:
        """The next group starts without waiting for its condition."""
        self.call("POST", f"/rollouts/{rollout}/triggerNextGroup")

    def groups(self, rollout: int) -> list[dict[str, Any]]:
        """The groups of a rollout in their order."""
        return self.pages(f"/rollouts/{rollout}/deploygroups", "id:ASC")


def until(what: str, true: Callable[[], object], seconds: float = 60, every: float = 0.1) -> None:
    """Waits for something that a server does by itself.

    Raises:
        AssertionError: it did not become true in time.
    """
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(every)
