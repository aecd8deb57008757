"""The settings of ``[server]`` that say how the way to the server is gone: credentials, proxy, links, speed, budgets. Pure."""

from __future__ import annotations

from agent import config_values as kind
from agent.config_row import Setting

NETWORK_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "server",
        "target-token-file",
        kind.SECRET,
        "",
        "File with the device's own token; only its owner may read it. Exactly one of this, `gateway-token-file` and "
        "`client-cert` is required with `url`; see [network](network.md).",
    ),
    Setting(
        "server",
        "gateway-token-file",
        kind.SECRET,
        "",
        "File with the token that devices share; only its owner may read it.",
    ),
    Setting(
        "server",
        "client-cert",
        kind.OPTIONAL_PATH,
        "",
        "PEM file of the device's own certificate, followed by those between it and the authority; needs `client-key`.",
    ),
    Setting(
        "server",
        "client-key",
        kind.SECRET,
        "",
        "PEM file of its private key, not encrypted; only its owner may read it.",
    ),
    Setting("server", "ca-file", kind.OPTIONAL_PATH, "", "PEM file of the server's authorities; empty: the system's."),
    Setting(
        "server",
        "proxy",
        kind.PROXY,
        "",
        "The proxy that every connection goes through; empty: none. The environment has no say.",
    ),
    Setting(
        "server",
        "proxy-auth-file",
        kind.SECRET,
        "",
        "File with `user:password` for the proxy; only its owner may read it.",
    ),
    Setting(
        "server",
        "rebase-links",
        kind.BOOLEAN,
        False,
        "Give every link of the server the scheme, host and port of `url`: for a server behind a proxy that hands out links "
        "to its inner address.",
    ),
    Setting(
        "server",
        "download-auth",
        kind.BOOLEAN,
        True,
        "Show the token or the certificate also where bundles are downloaded from, if that is the server itself.",
    ),
    Setting(
        "server", "max-rate", kind.BYTES, 0, "A download takes no more than so many bytes per second; 0: no limit."
    ),
    Setting(
        "server",
        "slow-rate",
        kind.BYTES,
        1024,
        "A connection that brings fewer bytes per second is given up; 0: none is.",
    ),
    Setting("server", "slow-time", kind.seconds(0.1, 3600), 30, "The seconds over which `slow-rate` is averaged."),
    Setting(
        "server",
        "budget-retries",
        kind.whole(1, 1_000_000),
        5000,
        "How often a download may go on after an interruption, in the whole of an update; then the update has failed.",
    ),
    Setting(
        "server",
        "budget-factor",
        kind.factor(1, 1000),
        3,
        "How many times the size of its bundle (and 1 MiB) an update may download.",
    ),
    Setting(
        "server",
        "budget-time",
        kind.seconds(1, 31_536_000),
        604_800,
        "Seconds that a download may take from its first byte on, interruptions included.",
    ),
)
