SUMMARY = "Boot script and first boot environment for U-Boot"

require recipes-ota/ota-agent-source.inc

inherit ota_ab_layout deploy nopackages

PV = "0.1.0"
PACKAGE_ARCH = "${MACHINE_ARCH}"
INHIBIT_DEFAULT_DEPS = "1"
DEPENDS += "u-boot-tools-native"
OTA_AGENT_TREE = "LICENSE bootloader_env/scripts/boot.cmd"

python () {
    ota_needs_bootloader(d, "uboot")
}

python ota_write_settings () {
    from pathlib import Path

    layout = ota_layer.layout.read_layout(d.getVar)
    out = Path(d.getVar("B"))
    (out / "settings.cmd").write_text(ota_layer.bootscript.uboot_settings(layout, d.getVar))
    if d.getVar("OTA_UBOOT_ENV_FILE"):
        variables = ota_layer.bootscript.uboot_variables(layout, d.getVar)
        size = int(d.getVar("OTA_UBOOT_ENV_SIZE"), 0)
        (out / "uboot.env").write_bytes(ota_layer.environment_blocks.uboot_block(variables, size))
}
ota_write_settings[vardeps] += "${OTA_AB_VARIABLES}"

do_compile () {
    cat ${B}/settings.cmd ${S}/bootloader_env/scripts/boot.cmd > ${B}/boot.cmd
    uboot-mkimage -T script -C none -n "ota-agent" -d ${B}/boot.cmd ${B}/boot.scr
}
do_compile[prefuncs] += "ota_write_settings"
do_configure[noexec] = "1"
do_install[noexec] = "1"

do_deploy () {
    install -d ${DEPLOYDIR}/ota-boot
    install -m 0644 ${B}/boot.scr ${DEPLOYDIR}/ota-boot
    if [ -e ${B}/uboot.env ]; then
        install -m 0644 ${B}/uboot.env ${DEPLOYDIR}/ota-boot
    fi
}
addtask deploy after do_compile before do_build
