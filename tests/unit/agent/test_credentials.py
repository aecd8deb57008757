"""Secrets: from files that nobody else can read or from systemd, read afresh, and never part of an error."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.identities import Factory

from agent import config, credentials, secret
from agent.errors import ConfigError
from agent.fetcher.terms import parse_terms
from agent.secret import Credential

DEVICE = Factory().device()
CONFIG = """
[system]
compatible = "x"
[keyring]
path = "ca.pem"
[bootloader]
type = "uboot"
[slot.rootfs.0]
device = "/dev/vda2"
[server]
url = "https://hawkbit.example"
controller-id = "dev-1"
"""


def settings(**values: Any) -> Any:
    names = ("target_token_file", "gateway_token_file", "client_cert", "client_key", "proxy_auth_file")
    return SimpleNamespace(**dict.fromkeys(names) | values)


def written(path: Path, data: str | bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    path.chmod(mode)
    return path


def refused(read: Any, server: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read(server)
    assert "s3cret" not in f"{caught.value} {caught.value.resolution} {caught.value.__cause__}"
    final = read is credentials.check or caught.value.code == "config.credential-missing"
    assert caught.value.retryable != final  # whoever replaces a file may be halfway through
    return caught.value


READERS = {
    "target_token_file": (credentials.read_token, "s3cret\r\n \n", ("TargetToken", "s3cret"), "config.token-readable"),
    "gateway_token_file": (credentials.read_token, " s3cret\n", ("GatewayToken", "s3cret"), "config.token-readable"),
    "proxy_auth_file": (
        credentials.read_proxy_login,
        "me:s3:cret \u00fc\n",
        "me:s3:cret \u00fc",
        "config.secret-readable",
    ),
}


@pytest.mark.req("T25")
@pytest.mark.parametrize("name", READERS)
def test_a_secret_is_read_without_the_white_space_at_its_ends(name: str, tmp_path: Path) -> None:
    read, data, expected, code = READERS[name]
    server = settings(**{name: written(tmp_path / "file", data)})
    assert read(server) == expected
    for mode in (0o640, 0o604, 0o610, 0o601):
        (tmp_path / "file").chmod(mode)
        assert refused(read, server).code == code
        assert refused(credentials.check, server).code == code


@pytest.mark.req("T25")
@pytest.mark.root
@pytest.mark.parametrize("name", READERS)
def test_a_secret_of_another_user_is_refused(name: str, tmp_path: Path) -> None:
    read, data, _, _ = READERS[name]
    path = written(tmp_path / "file", data)
    os.chown(path, 65534, 65534)
    for use in (read, credentials.check):
        error = refused(use, settings(**{name: path}))
        assert (error.code, "65534" in error.details) == ("config.secret-owner", True)


@pytest.mark.parametrize("name", READERS)
def test_a_credential_of_systemd_is_found_in_its_directory(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, data, expected, _ = READERS[name]
    server = settings(**{name: Credential("my.secret")})
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    error = refused(read, server)
    assert (error.code, "LoadCredential=my.secret" in error.resolution) == ("config.credential-missing", True)
    assert refused(credentials.check, server).code == "config.credential-missing"
    written(tmp_path / "my.secret", data, 0o440)  # with an access control list the mask is where the group's bits are
    assert read(server) == expected
    credentials.check(server)
    (tmp_path / "my.secret").chmod(0o444)
    assert refused(read, server).code in ("config.token-readable", "config.secret-readable")


def test_outside_of_the_service_a_configuration_with_credentials_can_be_checked_but_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    server = settings(target_token_file=Credential("token"))
    credentials.check(server)
    assert "CREDENTIALS_DIRECTORY is not set" in refused(credentials.read_token, server).details


@pytest.mark.parametrize("login", ["", "nobody", "a\nb:s3cret", ":s3cret", "x" * 300 + ":s3cret", b"\xff:s3cret", None])
def test_a_login_that_is_none_is_refused_without_being_quoted(login: Any, tmp_path: Path) -> None:
    if login is not None:
        written(tmp_path / "login", login)
    assert (
        refused(credentials.read_proxy_login, settings(proxy_auth_file=tmp_path / "login")).code == "config.proxy-login"
    )


def identity(
    tmp_path: Path, chain: str | bytes = DEVICE.chain, key: str | bytes = DEVICE.key, mode: int = 0o600
) -> Any:
    return settings(
        client_cert=written(tmp_path / "cert", chain, 0o644), client_key=written(tmp_path / "key", key, mode)
    )


@pytest.mark.req("T25")
def test_a_certificate_and_its_key_are_read_and_the_key_does_not_show(tmp_path: Path) -> None:
    found = credentials.read_identity(identity(tmp_path))
    assert found == credentials.Identity(DEVICE.chain, DEVICE.key)
    assert "PRIVATE" not in repr(found)
    assert credentials.read_identity(settings()) is None
    assert refused(credentials.read_identity, identity(tmp_path, mode=0o640)).code == "config.secret-readable"


@pytest.mark.req("T25")
def test_a_certificate_with_the_key_in_the_same_file_is_a_secret_too(tmp_path: Path) -> None:
    both = written(tmp_path / "both", DEVICE.chain + DEVICE.key)
    found = credentials.read_identity(settings(client_cert=both, client_key=both))
    assert found is not None
    assert "PRIVATE" not in repr(found)
    both.chmod(0o644)
    server = settings(client_cert=both, client_key=written(tmp_path / "key", DEVICE.key))
    assert refused(credentials.read_identity, server).code == "config.secret-readable"


def test_the_fetcher_takes_the_largest_token(tmp_path: Path) -> None:
    file = written(tmp_path / "token", "t" * credentials.MAX_TOKEN_SIZE)
    scheme, token = credentials.read_token(settings(target_token_file=file)) or ("", "")
    terms = parse_terms({"origin": "https://h", "auth": {"scheme": scheme, "token": token}})
    assert terms.credentials is not None
    assert terms.credentials.header == f"TargetToken {'t' * credentials.MAX_TOKEN_SIZE}"


@pytest.mark.parametrize(
    ("chain", "key", "code"),
    [
        ("", DEVICE.key, "config.client-cert"),
        (b"\x30\x82", DEVICE.key, "config.client-cert"),
        (b"\xff" * 9, DEVICE.key, "config.client-cert"),
        (DEVICE.chain * 20, DEVICE.key, "config.client-cert"),
        (DEVICE.chain, "", "config.client-key"),
        (DEVICE.chain, DEVICE.chain, "config.client-key"),
        (DEVICE.chain, b"\xff" * 9, "config.client-key"),
        (DEVICE.chain, DEVICE.key + "x" * 20_000, "config.client-key"),
    ],
)
def test_what_is_no_certificate_or_no_key_is_refused(
    chain: str | bytes, key: str | bytes, code: str, tmp_path: Path
) -> None:
    assert refused(credentials.read_identity, identity(tmp_path, chain, key)).code == code


@pytest.mark.parametrize(
    "key", [DEVICE.encrypted_key(b"p"), "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nAAAA\n"]
)
def test_an_encrypted_key_is_refused_with_advice(key: str, tmp_path: Path) -> None:
    error = refused(credentials.read_identity, identity(tmp_path, key=key))
    assert (error.code, error.brief) == ("config.client-key", "the client key is encrypted")
    assert "openssl pkey" in error.resolution


def test_paths_and_credentials_come_from_the_configuration(tmp_path: Path) -> None:
    text = CONFIG + 'client-cert = "dev.pem"\nclient-key = "credential:device-key"\nproxy = "http://p:3128/"\n'
    loaded = config.load([written(tmp_path / "c.toml", text)]).server
    assert (loaded.client_cert, loaded.client_key) == (tmp_path / "dev.pem", Credential("device-key"))
    assert (loaded.proxy, loaded.proxy_auth_file) == ("http://p:3128", None)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("", "expected exactly one of target-token-file, gateway-token-file, client-cert, got nothing"),
        ('target-token-file="t"\nclient-cert="c"\nclient-key="k"', "got target-token-file and client-cert"),
        ('client-cert="c"', "server.client-key: expected a value because server.client-cert is set"),
        (
            'target-token-file="t"\nclient-key="k"',
            "server.client-cert: expected a value because server.client-key is set",
        ),
        ('target-token-file="credential:../x"', 'got "credential:../x"'),
        ('target-token-file="credential:.."', "for a credential of systemd"),
        ('target-token-file="t"\nproxy-auth-file="p"', "server.proxy: expected a value because server.proxy-auth-file"),
        ('target-token-file="t"\nproxy="http://me:pass@p:1"', "without user and password"),
        ('target-token-file="t"\nproxy="socks5://p:1"', "http://host:port or https://host:port"),
        ('target-token-file="t"\nproxy="http://p\u00e4:1"', "http://host:port"),
        ('target-token-file="t"\nproxy="http://p"', "http://host:port"),
        ('target-token-file="t"\nproxy="http://p:1/path"', "http://host:port"),
        ('target-token-file="t"\nbudget-factor=0.5', "expected a number from 1 to 1000, got 0.5"),
        ('target-token-file="t"\nmax-rate=-1', "expected a number of bytes"),
        ('target-token-file="t"\nverify=false', "unknown key"),
    ],
)
def test_settings_that_do_not_fit_are_explained(more: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load([written(tmp_path / "c.toml", CONFIG + more)])
    assert message in caught.value.details


@pytest.mark.req("C10")
@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("proxy", "http://me:s3cret@p:1", "http://...@p:1"),
        ("proxy", "me:s3cret@p:1", "...@p:1"),
        ("proxy", "http://me:s3cret/@s3cret@p:1", "http://...@p:1"),
        ("proxy", f"http://me:{'s3cret' * 20}@p:1", "http://...@p:1"),
        ("url", "https://me:s3cret@h/x", "https://...@h/x"),
    ],
)
def test_a_login_where_none_belongs_is_refused_without_being_quoted(
    key: str, value: str, shown: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(
            [written(tmp_path / "c.toml", CONFIG.replace('url = "https://hawkbit.example"', "") + f'{key}="{value}"')]
        )
    assert "s3cret" not in str(caught.value)
    assert f'got "{shown}"' in caught.value.details


@pytest.mark.req("T25")
def test_files_that_others_can_read_keep_the_agent_from_starting(tmp_path: Path) -> None:
    written(tmp_path / "key", DEVICE.key, 0o644)
    text = CONFIG + 'client-cert = "dev.pem"\nclient-key = "key"\n'
    with pytest.raises(ConfigError) as caught:
        config.load([written(tmp_path / "c.toml", text)])
    assert (caught.value.code, caught.value.retryable) == ("config.secret-readable", False)
    assert str(tmp_path / "key") in caught.value.brief


def test_no_more_than_allowed_is_read(tmp_path: Path) -> None:
    assert len(secret.read(written(tmp_path / "file", "x" * 100), "token", 10)) == 11
