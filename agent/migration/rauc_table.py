"""Every key of RAUC's ``system.conf``, up to what will be 1.16 (August 2026): one row each. Pure.

Source: RAUC's ``src/config_file.c`` and its reference. Keys of one slot are in ``slot_table``.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.migration.outcome import Ask, Facts, Gone, Outcome, Put, Row
from agent.migration.slot_table import SLOT_ROWS
from agent.migration.source import Entry
from agent.migration.values import (
    ask,
    becomes,
    boolean,
    gone,
    items,
    one_of,
    only_with,
    path,
    rooted,
    switch,
    text,
    whole,
    words,
)

BOOTLOADERS = ("uboot", "grub", "efi", "barebox", "custom", "noop")
_FORMATS = ("plain", "verity", "crypt")
_ATTEMPTS = ("uboot", "barebox")
_MAX_SIGNATURE = 64 * 1024  # bytes; what a bundle may have here


def _bootloader(entry: Entry, _facts: Facts) -> Iterator[Outcome]:
    kind = one_of(BOOTLOADERS, entry.value)
    stays = {
        "uboot": "the variables of the environment, its place in /etc/fw_env.config and the boot script stay",
        "grub": "the variables of the environment block and grub.cfg stay",
        "efi": "the boot entries stay",
        "barebox": "bootchooser and its state stay",
        "custom": "the program stays",
        "noop": "",
    }
    yield Put("bootloader", "type", kind, stays[kind])


def _attempts(key: str) -> Row:
    def translate(entry: Entry, _facts: Facts) -> Iterator[Outcome]:
        count = whole(entry.value, entry.base)
        yield Put("bootloader", key, count) if count else Gone("0 is RAUC's default, which is 3 here as there")

    return Row("system", key, only_with(_ATTEMPTS, translate))


def _formats(entry: Entry, _facts: Facts) -> Iterator[Outcome]:
    names = entry.value.split(" ")
    names = [name for name in names if name]
    changes = [name for name in names if name[0] in "+-"]
    for name in names:
        one_of(_FORMATS, name.lstrip("+-"))
    if changes and len(changes) != len(names):
        raise ValueError("either names, or only names with + or -")
    formats = set(_FORMATS) if changes or not names else set()
    for name in names:
        formats = formats - {name[1:]} if name[0] == "-" else formats | {name.lstrip("+")}
    if not formats:
        raise ValueError("at least one format that remains")
    yield Put("bundle", "formats", [name for name in ("verity", "crypt", "plain") if name in formats])


def _signature_size(entry: Entry, _facts: Facts) -> Iterator[Outcome]:
    if whole(entry.value, entry.base) > _MAX_SIGNATURE:
        yield Ask("signatures above 64 KiB are refused here: encrypt for fewer recipients")
    else:
        yield Gone("the limit is 64 KiB")


def _status_file(entry: Entry, facts: Facts) -> Iterator[Outcome]:
    yield Gone("what each slot holds is kept in slots.json in state-dir")


def _purpose(entry: Entry, _facts: Facts) -> Iterator[Outcome]:
    ours = {"codesign": "codesign", "codesign-rauc": "codesign", "smimesign": "smimesign", "any": "any"}
    if entry.value in ours:
        yield Put("keyring", "check-purpose", ours[entry.value])
    else:
        yield Ask("this purpose does not exist here; choose codesign, smimesign or any by what the certificates carry")


def _secret_file(key: str) -> Row:
    def translate(entry: Entry, _facts: Facts) -> Iterator[Outcome]:
        if entry.value.startswith("pkcs11:"):
            yield Ask("keys in tokens cannot be used here: put a PEM file on the device")
        else:
            why = "only its owner may read it" if key == "key" else ""
            yield Put("encryption", key, path(entry.value, entry.base), why)

    return Row("encryption", key, translate)


def _inhibit_files(entry: Entry, _facts: Facts) -> Iterator[Outcome]:
    files = items(entry.value)
    if len(files) == 1:
        yield Put("policy", "busy-file", rooted(files[0], entry.base), "as long as it exists nothing is installed")
    else:
        yield Ask(
            "only one file can hold up updates: let all programs make the same one, and name it in policy.busy-file"
        )


def _criteria(allowed: tuple[str, ...], wanted: str, found: Outcome, otherwise: Outcome) -> Row:
    key = {"higher-semver": "candidate-criteria", "updated-slots": "reboot-criteria"}[allowed[0]]

    def translate(entry: Entry, _facts: Facts) -> Iterator[Outcome]:
        names = [one_of(allowed, name) for name in items(entry.value)]
        yield found if wanted in names else otherwise

    return Row("polling", key, translate)


def _reboot_command(entry: Entry, _facts: Facts) -> Iterator[Outcome]:
    argv = words(entry.value, entry.base)
    if argv == ["reboot"]:
        yield Gone("logind restarts the device")
    else:
        yield Put("system", "reboot-command", argv)


_NO_CASYNC = "bundles with casync indexes are not supported: make verity bundles, of which only what differs is written"
_PART_OF_CASYNC = "belongs to casync, which is not used here"
_LOG = "the audit log keeps all decisions, and the journal every step: ota-agent audit show"
_ARTIFACTS = "bundles with artifacts are refused here: deliver these files in the images of slots"
_TLS = (
    "RAUC used it for streaming only; the same credentials count for server and downloads here: "
    "set server.client-cert and server.client-key, or server.ca-file, if the server wants them"
)
_ONLY_ONE = "only one of variant-name, variant-file and variant-dtb may be set"

RAUC_ROWS: tuple[Row, ...] = (
    Row("system", "compatible", becomes("system", "compatible")),
    Row("system", "min-bundle-version", becomes("update", "min-version")),
    Row("system", "bootloader", _bootloader),
    Row("system", "grubenv", only_with(("grub",), becomes("bootloader", "grubenv", path))),
    Row("system", "barebox-statename", only_with(("barebox",), becomes("bootloader", "barebox-statename"))),
    Row("system", "barebox-dtbpath", only_with(("barebox",), becomes("bootloader", "barebox-dtbpath", path))),
    Row("system", "efi-use-bootnext", only_with(("efi",), becomes("bootloader", "efi-use-bootnext", boolean))),
    _attempts("boot-attempts"),
    _attempts("boot-attempts-primary"),
    Row(
        "system",
        "activate-installed",
        switch(
            Ask('what is installed always boots next here; say policy.approval = "ask-install" if somebody must agree'),
            Gone("as here"),
            lambda value, base: not boolean(value, base),
        ),
    ),
    Row("system", "bundle-formats", _formats),
    Row("system", "mountprefix", gone("neither bundles nor slots are mounted where others see them")),
    Row("system", "statusfile", _status_file),
    Row(
        "system",
        "data-directory",
        gone("state-dir is put into it, because it is on a file system that both slots share"),
    ),
    Row("system", "max-bundle-download-size", gone("bundles are streamed, not stored", whole)),
    Row("system", "max-bundle-signature-size", _signature_size),
    Row("system", "variant-name", becomes("system", "variant-name")),
    Row("system", "variant-file", becomes("system", "variant-file", rooted)),
    Row(
        "system",
        "variant-dtb",
        switch(
            Ask(
                "the device tree is not asked: write the first text of /proc/device-tree/compatible to a file at each "
                "boot, and name that in system.variant-file"
            ),
            Gone("as here"),
        ),
    ),
    Row(
        "system",
        "perform-pre-check",
        gone("each block is checked before it is used, and what was written is read back", boolean),
    ),
    Row(
        "system",
        "prevent-late-fallback",
        switch(
            Ask(
                "the old system stays bootable as a fallback here; update.min-version keeps it from being installed again"
            ),
            Gone("as here"),
        ),
    ),
    Row("keyring", "path", becomes("keyring", "path", path)),
    Row("keyring", "directory", becomes("keyring", "directory", path)),
    Row("keyring", "check-crl", becomes("keyring", "check-crl", boolean)),
    Row("keyring", "allow-partial-chain", becomes("keyring", "allow-partial-chain", boolean)),
    Row("keyring", "check-purpose", _purpose),
    Row(
        "keyring",
        "allowed-signer-cns",
        becomes("keyring", "allowed-signer-cns", lambda value, _base: items(value)),
    ),
    Row(
        "keyring",
        "use-bundle-signing-time",
        switch(
            Ask("expired certificates are refused whatever the signing time: sign the bundles again with valid ones"),
            Gone("as here"),
        ),
    ),
    Row("streaming", "sandbox-user", becomes("fetcher", "user", text, "where systemd starts no fetcher of its own")),
    Row("streaming", "tls-cert", ask(_TLS)),
    Row("streaming", "tls-key", ask(_TLS)),
    Row("streaming", "tls-ca", ask(_TLS)),
    Row(
        "streaming",
        "send-headers",
        ask("no such headers are sent: what the server must know goes to server.attributes"),
    ),
    Row(
        "polling",
        "url",
        ask(
            "manifests on a web server are not polled: put the bundles on a hawkBit server (server.url), or install files"
        ),
    ),
    Row("polling", "interval-sec", gone("the server tells when to ask; poll-min and poll-max bound it", whole)),
    Row("polling", "max-interval-sec", gone("as interval-sec", whole)),
    Row("polling", "inhibit-files", _inhibit_files),
    _criteria(
        ("higher-semver", "different-version"),
        "different-version",
        Put("update", "allow-downgrade", True, "as candidate-criteria=different-version"),
        Gone("as here: only higher versions are installed"),
    ),
    Row("polling", "install-criteria", gone("updates are installed by themselves, see policy.approval")),
    _criteria(
        ("updated-slots", "updated-artifacts", "failed-update"),
        "updated-slots",
        Put("update", "reboot", True, "as reboot-criteria=updated-slots"),
        Ask("the device restarts after an update of its slots (update.reboot), or not at all"),
    ),
    Row("polling", "reboot-cmd", _reboot_command),
    _secret_file("key"),
    _secret_file("cert"),
    Row("casync", "install-args", ask(_NO_CASYNC)),
    Row("casync", "storepath", ask(_NO_CASYNC)),
    Row("casync", "tmppath", gone(_PART_OF_CASYNC)),
    Row("casync", "use-desync", gone(_PART_OF_CASYNC, boolean)),
    Row(
        "autoinstall",
        "path",
        ask("no path is watched: run ota-agent install FILE from a unit of yours, or see [media] for sticks and cards"),
    ),
    Row(
        "handlers",
        "system-info",
        ask(
            "not run: the version comes from os-release, the variant from system.variant-file, and what the server should "
            "know goes to server.attributes"
        ),
    ),
    Row(
        "handlers",
        "pre-install",
        ask("not run: to hold an update up use policy.busy-file; to prepare something listen to the state on D-Bus"),
    ),
    Row(
        "handlers",
        "post-install",
        ask("not run: move what must follow into the new system (at its first boot), or listen to Installed on D-Bus"),
    ),
    Row(
        "handlers",
        "bootloader-custom-backend",
        only_with(("custom",), becomes("bootloader", "custom-backend", path, "called with the same words as by RAUC")),
    ),
    Row("log.*", "filename", gone(_LOG)),
    Row("log.*", "events", gone("all are recorded")),
    Row("log.*", "format", gone("ota-agent audit show --json is for programs")),
    Row("log.*", "max-size", gone("[audit] segment-size and segments bound it")),
    Row("log.*", "max-files", gone("as max-size", whole)),
    Row("artifacts.*", "path", ask(_ARTIFACTS)),
    Row("artifacts.*", "type", gone("belongs to a repository of artifacts")),
    Row("artifacts.*", "description", gone("belongs to a repository of artifacts")),
    Row("artifacts.*", "parent-class", gone("belongs to a repository of artifacts")),
    *SLOT_ROWS,
)
