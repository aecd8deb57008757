"""Every key that RAUC and rauc-hawkbit-updater read has exactly one row, and there is no other.

Taken from ``src/config_file.c`` and ``src/config-file.c`` of the two, all tagged versions and what was to come in August 2026.
"""

from __future__ import annotations

import pytest

from agent.migration.outcome import Row
from agent.migration.rauc_table import RAUC_ROWS
from agent.migration.updater_table import UPDATER_ROWS

RAUC = {
    "system": """
        compatible min-bundle-version bootloader barebox-statename barebox-dtbpath grubenv efi-use-bootnext boot-attempts
        boot-attempts-primary max-bundle-download-size max-bundle-signature-size mountprefix activate-installed variant-dtb
        prevent-late-fallback variant-file variant-name data-directory statusfile bundle-formats perform-pre-check
    """,
    "keyring": "path directory check-crl allow-partial-chain use-bundle-signing-time check-purpose allowed-signer-cns",
    "casync": "storepath tmppath install-args use-desync",
    "streaming": "sandbox-user tls-cert tls-key tls-ca send-headers",
    "polling": """
        url interval-sec max-interval-sec inhibit-files candidate-criteria install-criteria reboot-criteria reboot-cmd
    """,
    "encryption": "key cert",
    "autoinstall": "path",
    "handlers": "system-info pre-install post-install bootloader-custom-backend",
    "log.*": "filename format events max-size max-files",
    "slot.*": """
        description device type extra-mkfs-opts bootname parent allow-mounted readonly install-same force-install-same
        ignore-checksum extra-mount-opts resize region-start region-size size-limit efi-loader efi-cmdline
    """,
    "artifacts.*": "description path type parent-class",
}
UPDATER = {
    "client": """
        hawkbit_server ssl ssl_verify ssl_engine ssl_key ssl_cert auth_token gateway_token target_name tenant_id
        bundle_download_location connect_timeout timeout retry_wait low_speed_rate low_speed_time download_speed_limit
        resume_downloads stream_bundle log_level post_update_reboot send_download_authentication
    """,
    "device": "*",
}


@pytest.mark.parametrize(("rows", "known"), [(RAUC_ROWS, RAUC), (UPDATER_ROWS, UPDATER)], ids=["rauc", "updater"])
def test_every_key_has_exactly_one_row(rows: tuple[Row, ...], known: dict[str, str]) -> None:
    expected = sorted((section, key) for section, keys in known.items() for key in keys.split())
    assert sorted((row.section, row.key) for row in rows) == expected
