SUMMARY = "Makes and examines signed update bundles"
DESCRIPTION = "The command ota-bundle, for build hosts and SDKs: bundles that ota-agent and RAUC install"

require recipes-ota/ota-agent-source.inc

inherit python_hatchling

CVE_PRODUCT = "ota-agent"

OTA_AGENT_TREE += "docs/man/ota-bundle.1"

OTA_BUNDLER_DIR = "${nonarch_libdir}/ota-bundler"

do_install () {
    install -d ${D}${OTA_BUNDLER_DIR} ${D}${bindir}
    nativepython3 -m zipfile -e ${PEP517_WHEEL_PATH}/*.whl ${D}${OTA_BUNDLER_DIR}
    # What it needs of the agent is the reader of bundles; the rest imports what a build host does not have.
    find ${D}${OTA_BUNDLER_DIR} -mindepth 1 -maxdepth 1 ! -name agent -exec rm -r {} +
    find ${D}${OTA_BUNDLER_DIR}/agent -mindepth 1 -maxdepth 1 -type d ! -name bundle ! -name bundler -exec rm -r {} +
    cat > ${D}${bindir}/ota-bundle <<EOF
#!/bin/sh
# A native sysroot and an SDK may lie anywhere.
exec ${OTA_BUNDLER_PYTHON} -I "\$(dirname "\$(readlink -f "\$0")")/${OTA_BUNDLER_FROM_BIN}/ota-bundle.py" "\$@"
EOF
    chmod 0755 ${D}${bindir}/ota-bundle
    cat > ${D}${OTA_BUNDLER_DIR}/ota-bundle.py <<'EOF'
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from agent.bundler.cli import main

sys.exit(main())
EOF
    install -D -m 0644 ${S}/docs/man/ota-bundle.1 ${D}${mandir}/man1/ota-bundle.1
}

OTA_BUNDLER_PYTHON = "${PEP517_INSTALL_PYTHON}"
OTA_BUNDLER_FROM_BIN = "${@os.path.relpath(d.getVar('OTA_BUNDLER_DIR'), d.getVar('bindir'))}"

FILES:${PN} = "${bindir}/ota-bundle ${OTA_BUNDLER_DIR}"
RDEPENDS:${PN} = " \
    python3-asn1crypto \
    python3-cryptography \
    squashfs-tools \
    ${@bb.utils.contains('LAYERSERIES_CORENAMES', 'scarthgap', 'python3-pyopenssl', '', d)} \
"
RDEPENDS:${PN}:append:class-target = " ${OTA_BUNDLER_STANDARD_LIBRARY}"
RDEPENDS:${PN}:append:class-nativesdk = " ${OTA_BUNDLER_STANDARD_LIBRARY}"

# A native python3 is not split.
OTA_BUNDLER_STANDARD_LIBRARY = " \
    python3-compression \
    python3-core \
    python3-crypt \
    python3-ctypes \
    python3-datetime \
    python3-difflib \
    python3-io \
    python3-json \
    python3-netclient \
    python3-shell \
    python3-threading \
    python3-unixadmin \
"

BBCLASSEXTEND = "native nativesdk"
