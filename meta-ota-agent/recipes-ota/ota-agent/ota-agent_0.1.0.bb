SUMMARY = "Update agent for embedded Linux"
DESCRIPTION = "Installs signed A/B updates from a hawkBit server or a file, and keeps a new system only after a healthy boot"

require recipes-ota/ota-agent-source.inc

inherit python_hatchling systemd useradd features_check bash-completion ptest

REQUIRED_DISTRO_FEATURES = "systemd usrmerge"
CVE_PRODUCT = "ota-agent"

OTA_AGENT_TREE += "docs/man docs/completions tests/conftest.py tests/unit/bootloader_env tests/unit/slots"
SRC_URI += "file://run-ptest"

# Not site-packages: the packages have names such as "slots", and nothing else on the device may import them or be imported.
OTA_AGENT_DIR = "${nonarch_libdir}/ota-agent"

do_install () {
    install -d ${D}${OTA_AGENT_DIR} ${D}${bindir}
    nativepython3 -m zipfile -e ${PEP517_WHEEL_PATH}/*.whl ${D}${OTA_AGENT_DIR}
    # ota-bundle is for build hosts: see ota-bundler.
    rm -r ${D}${OTA_AGENT_DIR}/*.dist-info ${D}${OTA_AGENT_DIR}/agent/bundler
    # The root file system is read-only, so nobody has to look whether a source is newer.
    nativepython3 -m compileall -q -s ${D} -p / --invalidation-mode unchecked-hash ${D}${OTA_AGENT_DIR}

    nativepython3 ${S}/tools/install_tree.py ${D}
    cat > ${D}${bindir}/ota-agent <<EOF
#!${bindir}/python3 -I
import sys

sys.path.insert(0, "${OTA_AGENT_DIR}")
from agent.__main__ import main

sys.exit(main())
EOF
    chmod 0755 ${D}${bindir}/ota-agent

    install -D -m 0644 ${S}/agent/bus/org.otaagent.Agent1.xml ${D}${datadir}/dbus-1/interfaces/org.otaagent.Agent1.xml
    for page in ${S}/docs/man/*.[1-8]; do
        install -D -m 0644 $page ${D}${mandir}/man${page##*.}/$(basename $page)
    done
    rm ${D}${mandir}/man1/ota-bundle.1
    install -D -m 0644 ${S}/docs/completions/ota-agent.bash ${D}${datadir}/bash-completion/completions/ota-agent
}

# Tests of what lies in the storage of the device, as far as they need nothing but pytest.
OTA_AGENT_PTESTS = " \
    bootloader_env/test_boot_order.py \
    bootloader_env/test_efi_format.py \
    bootloader_env/test_fwenv_config.py \
    bootloader_env/test_grub_format.py \
    bootloader_env/test_uboot_format.py \
    slots/test_slot_detect.py \
    slots/test_slot_lookup.py \
    slots/test_slot_model.py \
    slots/test_slot_select.py \
"

do_install_ptest () {
    sed -i -e 's,@HOME@,${OTA_AGENT_DIR},' ${D}${PTEST_PATH}/run-ptest
    install -m 0644 ${S}/pyproject.toml ${D}${PTEST_PATH}
    install -D -m 0644 ${S}/tests/conftest.py ${D}${PTEST_PATH}/tests/conftest.py
    for test in ${OTA_AGENT_PTESTS}; do
        install -D -m 0644 ${S}/tests/unit/$test ${D}${PTEST_PATH}/tests/$test
    done
}

PACKAGES =+ "${PN}-rauc ${PN}-fetch ${PN}-service"

SYSTEMD_PACKAGES = "${PN}-service ${PN}-fetch ${PN}-rauc"

# Whoever only wants the command line, for example "ota-agent config check" in a container, takes ota-agent alone.
FILES:${PN} = "${bindir}/ota-agent ${OTA_AGENT_DIR}"
RDEPENDS:${PN} = " \
    python3-asn1crypto \
    python3-compression \
    python3-core \
    python3-crypt \
    python3-cryptography \
    python3-ctypes \
    python3-datetime \
    python3-difflib \
    python3-fcntl \
    python3-io \
    python3-json \
    python3-logging \
    python3-math \
    python3-mmap \
    python3-netclient \
    python3-pydbus \
    python3-pygobject \
    python3-pyudev \
    python3-resource \
    python3-shell \
    python3-systemd \
    python3-threading \
    python3-tomllib \
    python3-xml \
    python3-zoneinfo \
    ${@bb.utils.contains('LAYERSERIES_CORENAMES', 'scarthgap', 'python3-pyopenssl', '', d)} \
"
RRECOMMENDS:${PN} = "${PN}-service ${PN}-fetch"

# The daemon and the installer.
FILES:${PN}-service = " \
    ${OTA_AGENT_DIR}/ota-agent-leave-trial \
    ${systemd_system_unitdir}/ota-agent.service \
    ${systemd_system_unitdir}/ota-agent-boot-complete.service \
    ${systemd_system_unitdir}/ota-agent-find* \
    ${systemd_system_unitdir}/ota-agent-install* \
    ${systemd_system_unitdir}/ota-agent-trial* \
    ${datadir}/dbus-1/system.d/org.otaagent.Agent1.conf \
    ${datadir}/dbus-1/system-services/org.otaagent.Agent1.service \
    ${datadir}/polkit-1/actions/org.otaagent.Agent1.policy \
    ${nonarch_libdir}/systemd/catalog/ota-agent.catalog \
    ${nonarch_libdir}/sysusers.d/ota-agent.conf \
    ${nonarch_libdir}/tmpfiles.d/ota-agent.conf \
"
SYSTEMD_SERVICE:${PN}-service = "ota-agent.service ota-agent-install.socket ota-agent-trial.timer"
RDEPENDS:${PN}-service = "${PN}"

# The files in sysusers.d say the same. systemd-sysusers cannot make users where the root file system is read-only.
USERADD_PACKAGES = "${PN}-service ${PN}-rauc"
OTA_AGENT_USER = "--system --no-create-home --home-dir / --shell ${sbindir}/nologin --user-group"
USERADD_PARAM:${PN}-service = "${OTA_AGENT_USER} --comment 'Update agent, network' ota-fetcher"
GROUPADD_PARAM:${PN}-service = "--system ota-agent"
USERADD_PARAM:${PN}-rauc = "${OTA_AGENT_USER} --groups ota-agent --comment 'Update agent, RAUC interface' ota-rauc"
GROUPADD_PARAM:${PN}-rauc = "--system ota-agent"

# The only part that talks to a server. A device that is updated from files alone does without it, and without requests.
FILES:${PN}-fetch = "${OTA_AGENT_DIR}/agent/fetcher ${systemd_system_unitdir}/ota-agent-fetch*"
SYSTEMD_SERVICE:${PN}-fetch = "ota-agent-fetch.socket"
RDEPENDS:${PN}-fetch = "${PN} ${PN}-service python3-requests python3-urllib3 ca-certificates"

# RAUC's interface on D-Bus, for programs that were made for RAUC.
FILES:${PN}-rauc = " \
    ${OTA_AGENT_DIR}/agent/rauc \
    ${systemd_system_unitdir}/ota-agent-rauc.service \
    ${datadir}/dbus-1/system.d/de.pengutronix.rauc.conf \
    ${datadir}/dbus-1/system-services/de.pengutronix.rauc.service \
    ${datadir}/polkit-1/rules.d/ota-agent-rauc.rules \
    ${nonarch_libdir}/sysusers.d/ota-agent-rauc.conf \
"
SYSTEMD_SERVICE:${PN}-rauc = "ota-agent-rauc.service"
RDEPENDS:${PN}-rauc = "${PN} ${PN}-service"
RCONFLICTS:${PN}-rauc = "rauc-service"

FILES:${PN}-dev += "${datadir}/dbus-1/interfaces"

RDEPENDS:${PN}-ptest = " \
    ${PN} \
    ${PN}-fetch \
    ${PN}-rauc \
    python3-hypothesis \
    python3-pytest \
    python3-unittest-automake-output \
"
