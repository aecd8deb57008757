"""hawkBit's tenant configuration, as far as the development server heeds it (``/rest/v1/system/configs``)."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping

from agent.demo.server_values import Refused

BY_TARGET = "authentication.targettoken.enabled"
BY_GATEWAY = "authentication.gatewaytoken.enabled"
GATEWAY_KEY = "authentication.gatewaytoken.key"
BY_HEADER = "authentication.header.enabled"
AUTHORITY = "authentication.header.authority"
POLLING = "pollingTime"
OVERDUE = "pollingOverdueTime"
WINDOW_POLLS = "maintenanceWindowPollCount"
AUTOCLOSE = "repository.actions.autoclose.enabled"
CONFIRMATION = "user.confirmation.flow.enabled"
IMPLICIT_LOCK = "implicit.lock.enabled"

# target tokens are on here, and off in hawkBit, because a double without any way in would be of no use
DEFAULTS: Mapping[str, bool | int | str] = {
    BY_TARGET: True,
    BY_GATEWAY: False,
    GATEWAY_KEY: "",
    BY_HEADER: False,
    AUTHORITY: "false",
    POLLING: "00:05:00",
    OVERDUE: "00:05:00",
    WINDOW_POLLS: 3,
    AUTOCLOSE: False,
    CONFIRMATION: False,
    IMPLICIT_LOCK: True,
}
# hawkBit has them; to accept another value and then not to heed it would be a lie
FIXED: Mapping[str, bool | int | str] = {
    "rollout.approval.enabled": False,
    "action.cleanup.auto.expiry": -1,
    "action.cleanup.auto.status": "CANCELED,ERROR",
    "action.cleanup.onQuotaHit.percent": 0,
    "batch.assignments.enabled": False,
}
_INTERVAL = re.compile(r"([^~,]+?)(?:~(\d{1,2})%)?\s{0,5}")
DAY = 86400


class Config:
    """The values of one tenant.

    Args:
        least_polling: seconds; hawkBit's ``hawkbit.controller.minPollingTime``, there 30 by default.
        most_polling: seconds; ``maxPollingTime``, there 23:59:59.
    """

    def __init__(self, least_polling: int = 30, most_polling: int = DAY - 1) -> None:
        self.least_polling = least_polling
        self.most_polling = most_polling
        self._values: dict[str, bool | int | str] = {}

    def get(self, key: str) -> bool | int | str:
        """The value of a key; unknown keys are refused with 400."""
        if key not in DEFAULTS and key not in FIXED:
            raise Refused(400, f"the configuration key {key} is invalid", "hawkbit.server.error.configKeyInvalid")
        return self._values.get(key, DEFAULTS.get(key, FIXED.get(key, "")))

    def is_set(self, key: str) -> bool:
        """Whether it differs from the default by somebody's wish."""
        return key in self._values

    def flag(self, key: str) -> bool:
        """A switch."""
        return self.get(key) is True

    def text(self, key: str) -> str:
        """A text."""
        return str(self.get(key))

    def set(self, key: str, value: object) -> None:
        """Changes a value; refused with 400 when it is of another type or out of range."""
        default = self.get(key) if key in FIXED else DEFAULTS.get(key, self.get(key))
        if not isinstance(value, bool | int | str) or type(value) is not type(default):
            raise _invalid(key, "it is of another type")
        if key in FIXED and value != FIXED[key]:
            raise _invalid(key, "it is not part of this test double")
        if key == POLLING:
            seconds, _ = _interval(str(value))
            if not self.least_polling <= seconds <= self.most_polling:
                raise _invalid(key, "the polling interval is out of range")
        elif key == OVERDUE:
            parse_duration(str(value))
        elif key == WINDOW_POLLS and int(value) < 1:
            raise _invalid(key, "it must be positive")
        self._values[key] = value

    def reset(self, key: str) -> None:
        """Back to the default."""
        self.get(key)
        self._values.pop(key, None)

    def polling(self) -> tuple[int, int]:
        """The polling interval in seconds, and the percentage by which it is varied."""
        return _interval(self.text(POLLING))

    def sleep(self) -> str:
        """What the next poll is told."""
        seconds, deviation = self.polling()
        if deviation:
            most = seconds * deviation // 100
            seconds = min(max(seconds + random.randint(-most, most), self.least_polling), self.most_polling)
        return format_duration(seconds)

    def overdue_after(self) -> int:
        """Seconds without a poll after which a target is overdue."""
        seconds, deviation = self.polling()
        return seconds + seconds * deviation // 100 + parse_duration(self.text(OVERDUE))


def _interval(text: str) -> tuple[int, int]:
    found = _INTERVAL.fullmatch(text)
    if found is None:
        raise _invalid(POLLING, "overrides are not part of this test double" if "," in text else "it is no interval")
    return parse_duration(found[1].strip()), int(found[2] or 0)


def parse_duration(text: str) -> int:
    """Seconds of ``SS``, ``MM:SS``, ``HH:MM:SS`` or an ISO-8601 duration of days, hours, minutes and seconds."""
    if iso := re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", text):
        days, hours, minutes, seconds = (int(part or 0) for part in iso.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if not re.fullmatch(r"\d+(:\d+){0,2}", text):
        raise _invalid("duration", "it must be HH:MM:SS or ISO-8601")
    total = 0
    for part in text.split(":"):
        total = total * 60 + int(part)
    return total


def format_duration(seconds: int) -> str:
    """``HH:MM:SS`` below a day, ISO-8601 from there on (hawkBit since 0.10.0)."""
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    if seconds < DAY:
        return f"{hours:02d}:{minutes:02d}:{left:02d}"
    return f"PT{hours}H" + (f"{minutes}M" if minutes else "") + (f"{left}S" if left else "")


def _invalid(key: str, why: str) -> Refused:
    return Refused(400, f"invalid value of {key}: {why}", "hawkbit.server.error.configValueInvalid")
