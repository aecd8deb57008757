"""Addresses of the DDI resources: built once for the first poll, followed from then on."""

from __future__ import annotations

from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from agent.hawkbit.document import invalid

MAX_CONTROLLER_ID = 256


def controller_base(server: str, tenant: str, controller_id: str) -> str:
    """Returns the address to poll.

    Args:
        server: ``https://host[:port][/path]``.
        tenant: hawkBit's default is ``DEFAULT``.
        controller_id: the device's name on the server; no white space, at most 256 characters.

    Raises:
        ValueError: for a name that hawkBit does not allow (its firewall also refuses ``/``, ``;`` and a backslash).
    """
    for value in (tenant, controller_id):
        if not value or len(value) > MAX_CONTROLLER_ID or value in (".", ".."):
            raise ValueError("tenant and controller id must have 1 to 256 characters")
        if any(character.isspace() or character in "/;\\%" or not character.isprintable() for character in value):
            raise ValueError("tenant and controller id must not have white space, slashes, semicolons or percent signs")
    return f"{server.rstrip('/')}/{quote(tenant, safe='')}/controller/v1/{quote(controller_id, safe='')}"


def resolve(base: str, href: str) -> str:
    """Returns the absolute address of a link found in the document at ``base``.

    Raises:
        EnvironmentFault: ``ddi.invalid-document`` when it is no http or https address.
    """
    try:
        address = urljoin(base, href)
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError as error:
        raise invalid("a link is no address") from error
    if not usable:
        raise invalid("a link is no http address")
    return address


def with_history(address: str, count: int) -> str:
    """Returns the address of a deployment that brings the newest ``count`` of our own messages along (DDI v1)."""
    parts = urlsplit(address)
    query = f"{parts.query}&actionHistory={count}" if parts.query else f"actionHistory={count}"
    return urlunsplit(parts._replace(query=query))


def rebase(address: str, server: str) -> str:
    """Returns ``address`` with scheme, host and port of ``server``.

    For a server behind a TLS proxy that was not told so and hands out links to its inner address.
    """
    outer = urlsplit(server)
    return urlunsplit(urlsplit(address)._replace(scheme=outer.scheme, netloc=outer.netloc))
