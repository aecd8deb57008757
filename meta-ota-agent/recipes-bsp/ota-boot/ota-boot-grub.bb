SUMMARY = "Boot script and first boot environment for GRUB on EFI"

require recipes-ota/ota-agent-source.inc

inherit ota_ab_layout deploy nopackages

PV = "0.1.0"
PACKAGE_ARCH = "${MACHINE_ARCH}"
INHIBIT_DEFAULT_DEPS = "1"
OTA_AGENT_TREE = "LICENSE bootloader_env/scripts/grub.cfg"

python () {
    ota_needs_bootloader(d, "grub")
}

python do_compile () {
    from pathlib import Path

    layout = ota_layer.layout.read_layout(d.getVar)
    out = Path(d.getVar("B"))
    (out / "ota-board.cfg").write_text(ota_layer.bootscript.grub_board(layout, d.getVar))
    variables = ota_layer.bootscript.grub_variables(layout)
    (out / "grubenv").write_bytes(ota_layer.environment_blocks.grub_block(variables))
}
do_compile[vardeps] += "${OTA_AB_VARIABLES}"
do_configure[noexec] = "1"
do_install[noexec] = "1"

do_deploy () {
    install -d ${DEPLOYDIR}/ota-boot
    install -m 0644 ${S}/bootloader_env/scripts/grub.cfg ${B}/ota-board.cfg ${B}/grubenv ${DEPLOYDIR}/ota-boot
}
addtask deploy after do_compile before do_build
