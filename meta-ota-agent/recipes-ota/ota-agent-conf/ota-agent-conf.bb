SUMMARY = "Configuration of the update agent"
DESCRIPTION = "What follows from the disk and the bootloader, a file for the integrator's own settings, and the keyring"

require recipes-ota/ota-agent-source.inc

inherit ota_ab_layout

PV = "0.1.0"
PACKAGE_ARCH = "${MACHINE_ARCH}"
INHIBIT_DEFAULT_DEPS = "1"
OTA_AGENT_TREE = "LICENSE"

# Yours: a file ota-agent.toml in a bbappend with FILESEXTRAPATHS, and OTA_KEYRING_FILE in the configuration.
SRC_URI += "file://ota-agent.toml file://ca.pem"
SRC_URI += "${@'file://${OTA_KEYRING_PATH}' if d.getVar('OTA_KEYRING_FILE') else ''}"

OTA_KEYRING_PATH = "${@os.path.normpath(d.getVar('OTA_KEYRING_FILE') or 'ca.pem')}"
# A file with a whole path is unpacked below all of its directories.
OTA_KEYRING = "${UNPACKDIR}/${@d.getVar('OTA_KEYRING_PATH').lstrip('/')}"

python () {
    ota_needs_bootloader(d)
}

python ota_write_configuration () {
    from pathlib import Path

    layout = ota_layer.layout.read_layout(d.getVar)
    out = Path(d.getVar("B"))
    (out / "50-layout.toml").write_text(ota_layer.settings.agent_settings(layout, d.getVar))
    (out / "fw_env.config").write_text("".join(line + "\n" for line in ota_layer.settings.environment_copies(d.getVar)))
    (out / "places.conf").write_text(ota_layer.settings.trial_places(d.getVar))
}
ota_write_configuration[vardeps] += "${OTA_AB_VARIABLES}"

do_compile () {
    if grep -q "^# This is the example" ${UNPACKDIR}/ota-agent.toml; then
        bbwarn "ota-agent.toml is still the example: no server is configured. Put your own into a bbappend of ${PN}."
    fi
    if ! grep -q "BEGIN CERTIFICATE" ${OTA_KEYRING}; then
        bbwarn "The keyring holds no certificate, so devices will refuse every update. Set OTA_KEYRING_FILE to your own."
    fi
}
do_compile[prefuncs] += "ota_write_configuration"
do_configure[noexec] = "1"

do_install () {
    install -d ${D}${sysconfdir}/ota-agent/conf.d
    install -m 0644 ${UNPACKDIR}/ota-agent.toml ${D}${sysconfdir}/ota-agent/ota-agent.toml
    install -m 0644 ${OTA_KEYRING} ${D}${sysconfdir}/ota-agent/ca.pem
    install -D -m 0644 ${B}/50-layout.toml ${D}${nonarch_libdir}/ota-agent/50-layout.toml
    if [ -s ${B}/fw_env.config ]; then
        install -m 0644 ${B}/fw_env.config ${D}${sysconfdir}/ota-agent/fw_env.config
    fi
    if [ -s ${B}/places.conf ]; then
        install -D -m 0644 ${B}/places.conf ${D}${systemd_system_unitdir}/ota-agent-trial.service.d/places.conf
    fi
    install -d ${D}${localstatedir}/lib/ota-agent
    chmod 0700 ${D}${localstatedir}/lib/ota-agent
}

FILES:${PN} = " \
    ${sysconfdir}/ota-agent \
    ${nonarch_libdir}/ota-agent \
    ${systemd_system_unitdir}/ota-agent-trial.service.d \
    ${localstatedir}/lib/ota-agent \
"
CONFFILES:${PN} = "${sysconfdir}/ota-agent/ota-agent.toml"

# ota-agent-leave-trial, which must work without the agent, asks these programs.
RDEPENDS:${PN} = "${@bb.utils.contains('OTA_BOOTLOADER', 'grub', 'grub-editenv', 'libubootenv-bin', d)}"
RPROVIDES:${PN} += "virtual-ota-agent-conf"
