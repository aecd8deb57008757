"""Secrets that systemd has given to the fetcher itself: the daemon sends ``{"credential": NAME}`` in their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agent.credentials import key_at, login_at, token_at
from agent.secret import Credential, Place
from agent.wire import WireError

# The field of a ``session`` message, the field in it, and what reads it.
_PLACES: tuple[tuple[str, str, Callable[[Place], str]], ...] = (
    ("auth", "token", token_at),
    ("identity", "key", key_at),
    ("", "proxy_login", login_at),
)


def with_credentials(message: Mapping[str, object]) -> dict[str, object]:
    """Returns the message with the secrets in it.

    Raises:
        ConfigError: ``config.credential-missing``, and what ``agent.credentials`` raises.
        WireError: ``ipc.protocol``.
    """
    whole = dict(message)
    for group, key, read in _PLACES:
        part = whole.get(group) if group else whole
        value = part.get(key) if isinstance(part, dict) else None
        if not isinstance(part, dict) or not isinstance(value, dict):
            continue
        name = value.get("credential")
        if not isinstance(name, str) or not name or "/" in name:
            raise WireError("ipc.protocol", f"the daemon sent a {key} that is no text and names no credential")
        filled = {**part, key: read(Credential(name))}
        whole = {**whole, group: filled} if group else filled
    return whole
