"""What becomes of each key, and what is refused."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from agent.errors import ConfigError
from agent.migration.source import read_source
from agent.migration.translate import Draft, translate
from agent.migration.writer import what, write

RAUC = "[system]\ncompatible=board\nbootloader=uboot\ndata-directory=/data/rauc\n[keyring]\npath=ca.pem\n"
SLOTS = "[slot.rootfs.0]\ndevice=/dev/a\nbootname=A\n[slot.rootfs.1]\ndevice=/dev/b\nbootname=B\n"
CLIENT = "[client]\nhawkbit_server=host:8443\ntarget_name=dev-1\nauth_token=abc\nbundle_download_location=/tmp/x\n"


def drafted(rauc: str = RAUC + SLOTS, updater: str = "", *, stores: bool = True) -> Draft:
    theirs = read_source("config.conf", Path("/"), updater.encode()) if updater else None
    return translate(read_source("system.conf", Path("/etc/rauc"), rauc.encode()), theirs, stores_secrets=stores)


def ours(rauc: str = RAUC + SLOTS, updater: str = "") -> dict:
    return tomllib.loads(write(drafted(rauc, updater), ["system.conf"]))


def with_system(line: str, *, bootloader: str = "uboot", more: str = "") -> str:
    return RAUC.replace("bootloader=uboot", f"bootloader={bootloader}\n{line}") + SLOTS + more


def needs(rauc: str = RAUC + SLOTS, updater: str = "") -> list[str]:
    return [f"{line.subject}: {what(line)}" for line in drafted(rauc, updater).needs()]


def refused(rauc: str = RAUC + SLOTS, updater: str = "") -> str:
    with pytest.raises(ConfigError) as error:
        drafted(rauc, updater)
    assert error.value.code == "config.import-invalid"
    return error.value.details


def test_a_plain_device_needs_nobody() -> None:
    assert needs() == []
    assert ours() == {
        "system": {"compatible": "board", "state-dir": "/data/rauc/ota-agent"},
        "keyring": {"path": "/etc/rauc/ca.pem", "check-purpose": "smimesign"},
        "update": {"reboot": False},
        "bootloader": {"type": "uboot"},
        "slot": {
            "rootfs": {
                "0": {"device": "/dev/a", "bootname": "A"},
                "1": {"device": "/dev/b", "bootname": "B"},
            }
        },
    }


@pytest.mark.parametrize(
    ("line", "bootloader", "section", "expected"),
    [
        ("min-bundle-version=1.2", "uboot", "update", {"min-version": "1.2"}),
        (
            "grubenv=/boot/efi/grubenv",
            "grub",
            "bootloader",
            {"grubenv": "/boot/efi/grubenv", "boot-attempts-primary": 1},
        ),
        ("barebox-statename=st", "barebox", "bootloader", {"type": "barebox", "barebox-statename": "st"}),
        ("barebox-dtbpath=x.dtb", "barebox", "bootloader", {"barebox-dtbpath": "/etc/rauc/x.dtb"}),
        ("efi-use-bootnext=false", "efi", "bootloader", {"type": "efi", "efi-use-bootnext": False}),
        (
            "boot-attempts=5\nboot-attempts-primary=2",
            "uboot",
            "bootloader",
            {"boot-attempts": 5, "boot-attempts-primary": 2},
        ),
        ("bundle-formats=-plain", "uboot", "bundle", {"formats": ["verity", "crypt"]}),
        ("bundle-formats=verity plain", "uboot", "bundle", {"formats": ["verity", "plain"]}),
        ("variant-name=blue", "uboot", "system", {"variant-name": "blue"}),
        ("variant-file=variant", "uboot", "system", {"variant-file": "/variant"}),
    ],
)
def test_a_key_of_the_system_becomes_its_setting(line: str, bootloader: str, section: str, expected: dict) -> None:
    found = ours(with_system(line, bootloader=bootloader))[section]
    assert {key: found.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("more", "section", "expected"),
    [
        ("[encryption]\nkey=k.pem\ncert=/c.pem\n", "encryption", {"key": "/etc/rauc/k.pem", "cert": "/c.pem"}),
        ("[streaming]\nsandbox-user=stream\n", "fetcher", {"user": "stream"}),
        ("[keyring]\ncheck-purpose=codesign-rauc\n", "keyring", {"check-purpose": "codesign"}),
        ("[keyring]\nallowed-signer-cns=A B;C\n", "keyring", {"allowed-signer-cns": ["A B", "C"]}),
        (
            "[keyring]\ncheck-crl=1\nallow-partial-chain=true\n",
            "keyring",
            {"check-crl": True, "allow-partial-chain": True},
        ),
        (
            "[polling]\nurl=http://x\ninhibit-files=/run/busy\n",
            "policy",
            {"busy-file": "/run/busy", "approval": "ask-install"},
        ),
        ("[polling]\nurl=http://x\nreboot-criteria=updated-slots\n", "update", {"reboot": True}),
        ("[polling]\nurl=http://x\nreboot-cmd=/bin/reboot -f\n", "system", {"reboot-command": ["/bin/reboot", "-f"]}),
        ("[polling]\nurl=http://x\ncandidate-criteria=different-version\n", "update", {"allow-downgrade": True}),
    ],
)
def test_a_key_of_another_section_becomes_its_setting(more: str, section: str, expected: dict) -> None:
    found = ours(RAUC + SLOTS + more)[section]
    assert {key: found.get(key) for key in expected} == expected


def test_a_custom_backend_is_called_as_before() -> None:
    text = with_system("", bootloader="custom", more="[handlers]\nbootloader-custom-backend=bin/backend\n")
    assert ours(text)["bootloader"] == {"type": "custom", "custom-backend": "/etc/rauc/bin/backend"}


def test_the_slots_keep_their_settings() -> None:
    more = (
        "[slot.appfs.0]\ndevice=app0\ntype=ext4\nparent=rootfs.0\nresize=true\nextra-mkfs-opts=-L 'a b'\n"
        "extra-mount-opts=noatime\nignore-checksum=false\n"
        "[slot.data.0]\ndevice=/dev/d\nparent=appfs.0\nreadonly=1\nresize=true\n"
        "[slot.boot.0]\ndevice=/dev/mmcblk0\ntype=boot-gpt-switch\nregion-start=64k\nregion-size=1048576\n"
    )
    slots = ours(RAUC + SLOTS + more)["slot"]
    assert slots["appfs"]["0"] == {
        "device": "/etc/rauc/app0", "type": "ext4", "parent": "rootfs.0", "resize": True, "install-same": False,
        "extra-mkfs-opts": ["-L", "a b"], "extra-mount-opts": "noatime",
    }  # fmt: skip
    assert slots["data"]["0"] == {"device": "/dev/d", "parent": "rootfs.0", "readonly": True}
    assert slots["boot"]["0"]["region-start"] == "64K"
    assert slots["boot"]["0"]["region-size"] == 1048576


def test_a_slot_without_a_group_is_left_to_a_person_and_stays_readable() -> None:
    more = "[slot.bootloader.0]\ndevice=/dev/x\nallow-mounted=true\n"
    text = write(drafted(RAUC + SLOTS + more), ["system.conf"])
    assert "bootloader" not in tomllib.loads(text)["slot"]
    assert "# [slot.bootloader.0]" in text
    assert '# device = "/dev/x"' in text
    assert any("needs a bootname or a parent" in need for need in needs(RAUC + SLOTS + more))


def test_what_our_setting_does_not_take_is_left_to_a_person() -> None:
    text = with_system("boot-attempts=1000")
    assert needs(text) == [
        "system.conf:4 [system] boot-attempts: ota-agent wants a whole number from 1 to 99 for bootloader.boot-attempts"
    ]
    assert ours(text)["bootloader"] == {"type": "uboot"}


@pytest.mark.parametrize(
    "lines",
    [
        "[system]\nactivate-installed=false\n",
        "[system]\nvariant-dtb=true\n",
        "[system]\nprevent-late-fallback=true\n",
        "[system]\nmax-bundle-signature-size=100000\n",
        "[keyring]\ncheck-purpose=sslserver\n",
        "[keyring]\nuse-bundle-signing-time=true\n",
        "[streaming]\ntls-cert=a\n",
        "[streaming]\ntls-key=a\n",
        "[streaming]\ntls-ca=a\n",
        "[streaming]\nsend-headers=boot-id\n",
        "[polling]\nurl=https://x\n",
        "[encryption]\nkey=pkcs11:token=x\n",
        "[casync]\nstorepath=/x\n",
        "[casync]\ninstall-args=-v\n",
        "[autoinstall]\npath=/x\n",
        "[handlers]\nsystem-info=/x\n",
        "[handlers]\npre-install=/x\n",
        "[handlers]\npost-install=/x\n",
        "[artifacts.files]\npath=/x\ntype=files\n",
        "[slot.rescue.0]\ndevice=/x\nbootname=R\nreadonly=true\n",
        "[slot.rootfs.0]\nallow-mounted=true\n",
        "[slot.rootfs.100]\ndevice=/x\nparent=rootfs.0\n",
    ],
)
def test_a_person_is_asked_once_where_something_would_be_lost(lines: str) -> None:
    assert len(needs(RAUC + SLOTS + lines)) == 1


def test_without_a_shared_place_a_person_is_asked_for_the_state() -> None:
    assert "set system.state-dir" in needs((RAUC + SLOTS).replace("data-directory=/data/rauc\n", ""))[0]
    assert ours((RAUC + SLOTS).replace("data-directory=/data/rauc", "statusfile=/data/x.raucs"))["system"] == {
        "compatible": "board",
        "state-dir": "/data/ota-agent",
    }


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("[system]\nbootloder=x\n", "system.conf:14: [system] bootloder: unknown key; did you mean bootloader?"),
        ("[casnyc]\nx=y\n", "system.conf:13: [casnyc]: unknown section; did you mean casync?"),
        ("[slot.a.0]\ntype=ext5\ndevice=/x\n", "system.conf:14: [slot.a.0] type: expected one of raw, ext4"),
        ("[slot.a.0]\nbootname=C\n", "system.conf:13: [slot.a.0] device: expected a path, got nothing"),
        (
            "[slot.a.0]\ndevice=/x\nparent=b.0\n",
            "system.conf:15: [slot.a.0] parent: expected the CLASS.INDEX of another",
        ),
        (
            "[slot.a.0]\ndevice=/x\nparent=a.0\n",
            "system.conf:15: [slot.a.0] parent: expected parents that do not go in a",
        ),
        ("[slot.a.0]\ndevice=/x\nbootname=A\n", "system.conf:15: [slot.a.0] bootname: expected another than that of"),
        (
            "[slot.a.0]\ndevice=/x\nbootname=A B\n",
            "system.conf:15: [slot.a.0] bootname: expected a name without spaces",
        ),
        ("[slot.a.0]\ndevice=/x\nregion-size=1\n", "system.conf:15: [slot.a.0] region-size: expected nothing"),
        ("[slot.a.0]\ndevice=/x\ntype=boot-mbr-switch\n", "system.conf:13: [slot.a.0] region-size: expected a number"),
        ("[slot.a]\ndevice=/x\n", "system.conf:13: [slot.a]: expected [slot.CLASS.INDEX]"),
        ("[keyring]\ncheck-crl=maybe\n", 'system.conf:14: [keyring] check-crl: expected true or false, got "maybe"'),
        (
            "[system]\nboot-attempts=-1\n",
            "system.conf:14: [system] boot-attempts: expected a number that is not negative",
        ),
        ("[system]\ngrubenv=/x\n", "system.conf:14: [system] grubenv: expected nothing, because only bootloader=grub"),
        ("[system]\nbundle-formats=-plain verity\n", "[system] bundle-formats: expected either names, or only names"),
        ("[system]\nvariant-name=a\nvariant-file=b\n", "[system] variant-name: expected one of"),
        ("[polling]\ninterval-sec=60\n", "system.conf:13: [polling] url: expected an address, got nothing"),
        ("[system]\ncompatible=other\n", "system.conf:14: the key 'compatible' appears twice in its group"),
        ("[system\n", "system.conf:13: is no [group]"),
    ],
)
def test_what_cannot_be_right_is_refused_with_its_line(lines: str, expected: str) -> None:
    assert expected in refused(RAUC + SLOTS + lines)


def test_all_problems_are_told_at_once() -> None:
    assert refused("[system]\nx=y\n[what]\nz=1\n").count("\n") == 3


def test_the_server_keeps_its_settings() -> None:
    more = (
        "tenant_id=T\nconnect_timeout=5\ntimeout=30\nlow_speed_rate=50\nlow_speed_time=90\ndownload_speed_limit=10000\n"
        "post_update_reboot=yes\nsend_download_authentication=no\nlog_level=debug\nretry_wait=60\nstream_bundle=true\n"
        "resume_downloads=true\n[device]\nhw = 2 \nödd=x\npath=C:\\\\x\n"
    )
    found = ours(updater=CLIENT + more)
    assert found["server"] == {
        "url": "https://host:8443", "controller-id": "dev-1", "target-token-file": "target.token", "tenant": "T",
        "connect-timeout": 5, "read-timeout": 30, "slow-rate": 50, "slow-time": 90, "max-rate": 10000,
        "download-auth": False, "attributes": {"hw": "2", "path": "C:\\\\x"},
    }  # fmt: skip
    assert found["update"] == {"reboot": True}
    assert needs(updater=CLIENT + more) == [
        "config.conf:20 [device] ödd: ota-agent wants a text of 1 to 128 plain ASCII characters for server.attributes.ödd"
    ]


def test_a_certificate_keeps_its_files() -> None:
    text = CLIENT.replace("auth_token=abc", "ssl_key=/k.pem\nssl_cert=/c.pem")
    assert ours(updater=text)["server"]["client-key"] == "/k.pem"
    assert ours(updater=text)["server"]["client-cert"] == "/c.pem"


@pytest.mark.parametrize(
    ("old", "new", "count"),
    [
        ("auth_token=abc", "auth_token=abc\nssl=false", 1),
        ("auth_token=abc", "auth_token=abc\nssl_verify=no", 1),
        ("auth_token=abc", "ssl_key=k.pem\nssl_cert=/c.pem", 1),
        ("auth_token=abc", "ssl_engine=pkcs11\nssl_key=pkcs11:x\nssl_cert=/c.pem", 3),
    ],
)
def test_a_person_is_asked_where_the_way_to_the_server_would_differ(old: str, new: str, count: int) -> None:
    assert len(needs(updater=CLIENT.replace(old, new))) == count


def test_a_key_that_was_not_used_without_tls_is_no_second_proof() -> None:
    text = CLIENT.replace("auth_token=abc", "auth_token=abc\nssl=false\nssl_key=/k")
    assert ours(updater=text)["server"] == {"controller-id": "dev-1", "target-token-file": "target.token"}


def test_no_speed_is_too_slow_if_it_was_so() -> None:
    server = ours(updater=CLIENT + "low_speed_rate=100\nlow_speed_time=0\n")["server"]
    assert server["slow-rate"] == 0
    assert "slow-time" not in server


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("auth_token=abc", "auth_token=abc\ngateway_token=d", "got auth_token and gateway_token"),
        ("auth_token=abc\n", "", "got none"),
        ("target_name=dev-1\n", "", "config.conf: [client] target_name: expected a value, got nothing"),
        ("host:8443", "https://host", "config.conf:2: [client] hawkbit_server: expected host or host:port"),
        ("auth_token=abc", "ssl_key=/k", "expected ssl_key and ssl_cert together"),
        ("auth_token=abc", "auth_token=abc\nssl=perhaps", "config.conf:5: [client] ssl: expected true or false"),
    ],
)
def test_what_the_updater_refuses_is_refused(old: str, new: str, expected: str) -> None:
    details = refused(updater=CLIENT.replace(old, new))
    assert expected in details
    assert "\n" not in details


def test_a_token_is_shown_nowhere() -> None:
    for token in ("sésame-1234", "sesame-1234"):
        text = CLIENT.replace("auth_token=abc", f"auth_token={token}")
        try:
            shown = write(drafted(updater=text, stores=False), ["config.conf"])
        except ConfigError as error:
            shown = str(error)
        assert token not in shown
        assert "auth_token" in shown


def test_a_token_that_is_not_stored_is_left_to_a_person() -> None:
    (line,) = drafted(updater=CLIENT, stores=False).needs()
    assert "target.token" in what(line)
