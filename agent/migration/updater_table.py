"""Every key of rauc-hawkbit-updater's ``config.conf``, up to what came after 1.4 (May 2026): one row each. Pure.

Source: its ``src/config-file.c`` and its reference. It reads every text without the spaces at its end, and those
of ``[device]`` without decoding escape sequences.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.migration.outcome import Ask, Facts, Gone, Outcome, Put, Row
from agent.migration.source import Entry
from agent.migration.values import ask, becomes, chomped, gone, loose_boolean, switch, whole

TOKEN_FILES = {"auth_token": "target.token", "gateway_token": "gateway.token"}  # beside the TOML file
_TOKEN_SETTINGS = {"auth_token": "target-token-file", "gateway_token": "gateway-token-file"}


def uses_tls(facts: Facts) -> bool:
    """Whether TLS is used; a value that cannot be read is reported where it stands."""
    return facts.updater is None or facts.updater.value("client", "ssl").rstrip().lower() not in ("false", "no", "0")


def _server(entry: Entry, facts: Facts) -> Iterator[Outcome]:
    host = entry.value.rstrip()
    if "://" in host or not host:
        raise ValueError("host or host:port, without https://")
    if not uses_tls(facts):
        yield Ask(f"the server must be reached by https: set server.url to its address, perhaps https://{host}")
    else:
        yield Put("server", "url", f"https://{host}")


def _token(key: str) -> Row:
    def translate(entry: Entry, facts: Facts) -> Iterator[Outcome]:
        if not entry.value.rstrip().isascii():
            raise ValueError("plain ASCII characters")
        if not facts.stores_secrets:
            yield Ask(f"put the token into the file {TOKEN_FILES[key]} beside this one, and give it mode 0600")
        yield Put("server", _TOKEN_SETTINGS[key], TOKEN_FILES[key], "only its owner may read it")

    return Row("client", key, translate, secret=True)


def _pem(key: str, ours: str) -> Row:
    def translate(entry: Entry, facts: Facts) -> Iterator[Outcome]:
        value = entry.value.rstrip()
        if not uses_tls(facts):
            yield Gone("without ssl it was not used")
        elif not value.startswith("/") or (facts.updater and facts.updater.value("client", "ssl_engine")):
            yield Ask(
                f"the key and the certificate must be PEM files here: name them with whole paths in server.{ours}"
            )
        else:
            yield Put("server", ours, value, "only its owner may read it" if key == "ssl_key" else "")

    return Row("client", key, translate)


def _seconds(key: str, ours: str, why: str) -> Row:
    def translate(entry: Entry, _facts: Facts) -> Iterator[Outcome]:
        count = whole(entry.value, entry.base)
        yield (
            Put("server", ours, count, why)
            if count
            else Gone("0 means no limit of its own there; the default counts here")
        )

    return Row("client", key, translate)


def _low_speed_time(entry: Entry, _facts: Facts) -> Iterator[Outcome]:
    if whole(entry.value, entry.base):
        yield Put("server", "slow-time", whole(entry.value, entry.base))
    else:
        yield Put("server", "slow-rate", 0, "low_speed_time=0: no connection is given up as too slow")


def _low_speed_rate(entry: Entry, facts: Facts) -> Iterator[Outcome]:
    rate = whole(entry.value, entry.base)
    if facts.updater is not None and facts.updater.value("client", "low_speed_time").strip() == "0":
        yield Gone("low_speed_time=0 switches it off")
    else:
        yield Put("server", "slow-rate", rate)


UPDATER_ROWS: tuple[Row, ...] = (
    Row("client", "hawkbit_server", _server),
    Row("client", "target_name", becomes("server", "controller-id", chomped)),
    Row("client", "tenant_id", becomes("server", "tenant", chomped)),
    Row("client", "ssl", switch(Gone("always"), Gone("http is refused, see hawkbit_server"), loose_boolean)),
    Row(
        "client",
        "ssl_verify",
        switch(
            Gone("always"),
            Ask("the server's certificate is always verified here: name its authority in server.ca-file"),
            loose_boolean,
        ),
    ),
    Row("client", "ssl_engine", ask("keys in engines or tokens cannot be used here: put a PEM file on the device")),
    _pem("ssl_key", "client-key"),
    _pem("ssl_cert", "client-cert"),
    _token("auth_token"),
    _token("gateway_token"),
    Row("client", "bundle_download_location", gone("bundles are streamed; a plain one is kept in state-dir")),
    _seconds("connect_timeout", "connect-timeout", ""),
    _seconds("timeout", "read-timeout", "seconds without a byte, not for the whole of a request"),
    Row("client", "retry_wait", gone("after an error the pauses grow up to the polling interval by themselves", whole)),
    Row("client", "low_speed_time", _low_speed_time),
    Row("client", "low_speed_rate", _low_speed_rate),
    Row("client", "download_speed_limit", becomes("server", "max-rate", whole)),
    Row("client", "resume_downloads", gone("always", loose_boolean)),
    Row("client", "stream_bundle", gone("always", loose_boolean)),
    Row("client", "post_update_reboot", becomes("update", "reboot", loose_boolean)),
    Row("client", "log_level", gone("everything is in the journal: journalctl -u ota-agent -p LEVEL")),
    Row("client", "send_download_authentication", becomes("server", "download-auth", loose_boolean)),
    Row(
        "device",
        "*",
        lambda entry, _facts: [Put("server.attributes", entry.key, entry.raw.rstrip())],
    ),
)
