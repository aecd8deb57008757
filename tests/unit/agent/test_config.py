"""Promises of the configuration: complete, strict, explained all at once."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from agent import config, credentials
from agent.config_table import DROP_IN_DIR, MAIN_FILE, SETTINGS, VENDOR_DIR
from agent.errors import ConfigError

MINIMAL = """
[system]
compatible = "Test Device"
[keyring]
path = "ca.pem"
[bootloader]
type = "uboot"
[slot.rootfs.0]
device = "partlabel:rootfs-a"
bootname = "A"
[slot.rootfs.1]
device = "/dev/vda3"
bootname = "B"
"""
SERVER = """
[server]
url = "https://hawkbit.example:8443/base/"
controller-id = "dev-1"
target-token-file = "token"
"""


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def refused(path: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        config.load([path])
    return caught.value


def test_a_minimal_file_is_enough_and_the_rest_are_defaults(tmp_path):
    loaded = config.load([write(tmp_path / "c.toml", MINIMAL)])
    assert loaded.system.compatible == "Test Device"
    assert loaded.system.state_dir == Path("/var/lib/ota-agent")
    assert loaded.system.reboot_command == ()
    assert loaded.bundle.formats == ("verity", "crypt", "plain")
    assert loaded.server.url == ""
    assert loaded.health.deadline == 300
    assert [(slot.name, slot.bootname, slot.parent) for slot in loaded.slots] == [
        ("rootfs.0", "A", None),
        ("rootfs.1", "B", None),
    ]


def test_relative_paths_start_at_the_file_that_names_them(tmp_path):
    base = write(tmp_path / "one" / "c.toml", MINIMAL + SERVER)
    drop_in = write(
        tmp_path / "two" / "d.toml", '[server]\nca-file = "tls/ca.pem"\n[slot.rootfs.0]\ndevice = "a.img"\n'
    )
    loaded = config.load([base, drop_in])
    assert loaded.keyring.path == tmp_path / "one" / "ca.pem"
    assert loaded.server.ca_file == tmp_path / "two" / "tls" / "ca.pem"
    assert loaded.slots[0].device == str(tmp_path / "two" / "a.img")
    assert loaded.slots[0].bootname == "A", "the drop-in changes one key, not the table"


def test_the_standard_places_are_read_in_order(fs):
    fs.create_file(f"{VENDOR_DIR}/10-base.toml", contents=MINIMAL + "[update]\nmin-version = '1'\nreboot = false\n")
    fs.create_file(MAIN_FILE, contents="[update]\nmin-version = '2'\n")
    fs.create_file(f"{DROP_IN_DIR}/20-b.toml", contents="[update]\nmin-version = '4'\n")
    fs.create_file(f"{DROP_IN_DIR}/10-a.toml", contents="[update]\nmin-version = '3'\n")
    loaded = config.load()
    assert loaded.update.min_version == "4"
    assert loaded.update.reboot is False
    assert [path.name for path in loaded.files] == ["10-base.toml", "ota-agent.toml", "10-a.toml", "20-b.toml"]


def test_no_file_anywhere_is_told_as_missing(fs):
    with pytest.raises(ConfigError) as caught:
        config.load()
    assert caught.value.code == "config.missing"


def test_a_named_file_that_is_not_there_is_missing(tmp_path):
    assert refused(tmp_path / "nothing.toml").code == "config.missing"


def test_all_problems_are_told_at_once_with_file_and_key(tmp_path):
    path = write(
        tmp_path / "c.toml",
        """
        [system]
        compatible = 5
        [sever]
        url = "x"
        [bundle]
        formats = ["verity", "zip"]
        [bootloader]
        type = "uboot"
        boot-attempt = 2
        [health]
        deadline = "soon"
        commands = [["/bin/true"], []]
        """,
    )
    error = refused(path)
    assert error.code == "config.invalid"
    lines = error.details.splitlines()
    assert f"{path}: sever: unknown section, did you mean server?" in lines
    assert f"{path}: bootloader.boot-attempt: unknown key, did you mean boot-attempts?" in lines
    assert f"{path}: system.compatible: expected a text of 1 to 255 printable characters, got 5" in lines
    assert f'{path}: health.deadline: expected a number of seconds from 0.1 to 86400, got "soon"' in lines
    assert f"{path}: keyring.path: expected a path because keyring.directory is not set, got nothing" in lines
    assert any("health.commands: expected a list of commands" in line for line in lines)
    assert any(
        'bundle.formats: expected a list of "verity", "crypt" and "plain", got ["verity", "zip"]' in line
        for line in lines
    )
    assert any("slot: expected from 1 to 64 slots, got 0" in line for line in lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[system]\nvariant-name='a'\nvariant-file='f'\n", "either this or system.variant-file, got both"),
        ("[server]\nurl='https://h'\ntarget-token-file='t'\n", "server.controller-id: expected a name"),
        ("[server]\nurl='https://h'\ncontroller-id='d'\n", "got nothing"),
        (
            "[server]\nurl='https://h'\ncontroller-id='d'\ntarget-token-file='t'\ngateway-token-file='g'\n",
            "server.target-token-file: expected exactly one of target-token-file, gateway-token-file, client-cert, "
            "got target-token-file and gateway-token-file",
        ),
        ("[server]\npoll-min=100\npoll-max=50\n", "server.poll-min: expected at most server.poll-max, which is 50"),
        ("[health]\nsoak=400\n", "health.soak: expected at most health.deadline, which is 300, got 400"),
        (
            "[bootloader]\ntype='custom'\n",
            "bootloader.custom-backend: expected a program because bootloader.type is custom",
        ),
        (
            "[bootloader]\ntype='grub'\nboot-attempts=10\n",
            "bootloader.boot-attempts: expected at most 9 with GRUB, got 10",
        ),
        ("[bootloader]\ntype='lilo'\n", 'or "custom" or "noop", got "lilo"'),
        ("[slot.rootfs.00]\n", "slot.rootfs.00: expected [slot.CLASS.INDEX]"),
        ("[slot.data.0]\n", "slot.data.0.device: expected a device path"),
        ("[slot]\nrootfs2=1\n", "slot.rootfs2: expected [slot.CLASS.INDEX]"),
        ("[server.attributes]\nserial='\u00fc'\n", "server.attributes.serial: expected key and value"),
        ("[server]\nattributes=1\n", "server.attributes: expected a table, got 1"),
        ("server = 1\n", "server: expected a table, got 1"),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path, text, message):
    later = write(tmp_path / "later.toml", text)
    with pytest.raises(ConfigError) as caught:
        config.load([write(tmp_path / "c.toml", MINIMAL), later])
    assert message in caught.value.details


@pytest.mark.req("S10")
@pytest.mark.parametrize(
    "url",
    ["http://h", "ftp://h", "https://", "https://u:p@h", "https://h:99999", "https://h/?x=1", "https://[::1", "h"],
)
def test_only_a_plain_https_address_is_a_server(tmp_path, url):
    text = MINIMAL + SERVER.replace("https://hawkbit.example:8443/base/", url)
    assert "server.url" in refused(write(tmp_path / "c.toml", text)).details


def test_the_address_loses_its_last_slash_and_attributes_are_texts(tmp_path):
    text = MINIMAL + SERVER + '[server.attributes]\n"hw rev" = "C"\nserial = "0042"\n'
    loaded = config.load([write(tmp_path / "c.toml", text)])
    assert loaded.server.url == "https://hawkbit.example:8443/base"
    assert dict(loaded.server.attributes) == {"hw rev": "C", "serial": "0042"}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622])
@pytest.mark.req("T25")
def test_a_token_that_others_can_reach_is_refused(tmp_path, mode):
    token = write(tmp_path / "token", "secret\n")
    token.chmod(mode)
    error = refused(write(tmp_path / "c.toml", MINIMAL + SERVER))
    assert error.code == "config.token-readable"
    assert "secret" not in str(error) + error.resolution


def test_a_token_may_arrive_later_but_must_then_be_one(tmp_path):
    loaded = config.load([write(tmp_path / "c.toml", MINIMAL + SERVER)])
    for content in (None, "", "two words", "x" * 5000, "\u00fc"):
        if content is not None:
            write(tmp_path / "token", content).chmod(0o600)
        with pytest.raises(ConfigError) as caught:
            credentials.read_token(loaded.server)
        assert caught.value.code == "config.token-missing"
    write(tmp_path / "token", "abc123\n").chmod(0o600)
    assert credentials.read_token(loaded.server) == ("TargetToken", "abc123")
    (tmp_path / "token").chmod(0o644)
    with pytest.raises(ConfigError, match="others than its owner"):
        credentials.read_token(loaded.server)


def test_without_a_server_there_is_no_token(tmp_path):
    assert credentials.read_token(config.load([write(tmp_path / "c.toml", MINIMAL)]).server) is None


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a = ", b"a = " + b"9" * 5000, b"a=" + b"[" * 4000, b" " * 300_000])
def test_what_is_no_toml_is_invalid(tmp_path, data):
    path = tmp_path / "c.toml"
    path.write_bytes(data)
    assert refused(path).code == "config.invalid"


def test_the_table_and_the_dataclasses_name_the_same_settings():
    classes = {
        "system": config.SystemSettings,
        "keyring": config.KeyringSettings,
        "bundle": config.BundleSettings,
        "update": config.UpdateSettings,
        "server": config.ServerSettings,
        "fetcher": config.FetcherSettings,
        "installer": config.InstallerSettings,
        "bootloader": config.BootloaderSettings,
        "health": config.HealthSettings,
        "slot": config.SlotSettings,
    }
    for section, settings in classes.items():
        fields = {field.name.replace("_", "-") for field in dataclasses.fields(settings)}
        fields -= {"attributes", "name", "slot-class", "index"}
        assert fields == {row.key for row in SETTINGS if row.section == section}


def test_loading_the_module_does_not_load_the_parser():
    import subprocess
    import sys

    code = "import sys, agent.config; print([m for m in ('tomllib', 'agent.config_table') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_keyring_is_a_file_a_directory_or_both(tmp_path):
    def keyring(lines):
        return config.load([write(tmp_path / "c.toml", MINIMAL.replace('path = "ca.pem"', lines))]).keyring

    assert (keyring('directory = "trusted"').path, keyring('directory = "trusted"').directory) == (
        None,
        tmp_path / "trusted",
    )
    both = keyring('path = "ca.pem"\ndirectory = "trusted"\ncheck-crl = true\nallowed-signer-cns = ["a b", "c"]')
    assert (both.path, both.directory) == (tmp_path / "ca.pem", tmp_path / "trusted")
    assert (both.check_crl, both.allow_partial_chain, both.allowed_signer_cns) == (True, False, ("a b", "c"))


@pytest.mark.parametrize("names", ['["a", "a"]', '[""]', '"a"', "[7]", '["a\\u0000b"]'])
def test_allowed_signers_are_different_texts(tmp_path, names):
    text = MINIMAL.replace("[keyring]", f"[keyring]\nallowed-signer-cns = {names}")
    error = refused(write(tmp_path / "c.toml", text))
    assert "keyring.allowed-signer-cns: expected a list of different texts" in error.details
