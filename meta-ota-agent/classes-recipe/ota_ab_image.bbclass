# Makes a disk with two systems from an image recipe: inherit it after core-image. The first slot is the ext4 image itself, byte
# for byte, which is also what the bundle holds; so a device in the field can tell that its slot is what was released.

inherit ota_ab_layout

OTA_AB_WKS ??= "ota-ab-${OTA_BOOTLOADER}.wks.in"
OTA_AB_WKS[doc] = "The kickstart file; one of your own may use the same variables."
WKS_FILE = "${OTA_AB_WKS}"
WKS_SEARCH_PATH:append = ":${LAYERDIR_OTA_AGENT}/files/wic"
# The defaults build every bootloader that any kickstart file could name.
WKS_FILE_DEPENDS = "${WKS_FILE_DEPENDS_DEFAULT}"
# fstab is part of the image: wic must not change it on its way into the slot.
WIC_CREATE_EXTRA_ARGS = "--no-fstab-update"

IMAGE_FSTYPES = "ext4 wic"
IMAGE_TYPEDEP:wic:append = " ext4"

# All of it is replaced by an update, and compared with what was released: nothing may write to it.
IMAGE_FEATURES:append = " read-only-rootfs"
# A journal would be written to at each mount; the others are not understood by all bootloaders. The fixed UUIDs make the same
# content the same image.
OTA_AB_FILESYSTEM_UUID ??= "${OTA_AB_UUID_A}"
EXTRA_IMAGECMD:ext4 = "-i 4096 -b 4096 -O ^has_journal,^metadata_csum_seed,^orphan_file -U ${OTA_AB_FILESYSTEM_UUID} \
    -E hash_seed=${OTA_AB_FILESYSTEM_UUID}"
IMAGE_ROOTFS_ALIGNMENT = "4"
IMAGE_ROOTFS_EXTRA_SPACE ?= "0"
IMAGE_ROOTFS_MAXSIZE = "${@ota_layer.sizes.size(d.getVar('OTA_AB_SLOT_SIZE')) // 1024}"

# The kernel is updated with the rest, and so lies in the slot.
IMAGE_INSTALL:append = " packagegroup-ota-agent kernel-image"

OTA_AB_BOOT_DIR = "${WORKDIR}/ota-boot"
OTA_AB_DATA_DIR = "${WORKDIR}/ota-data"
OTA_AB_BOOT_FILES ??= "${OTA_AB_BOOT_FILES_${OTA_BOOTLOADER}}"
OTA_AB_BOOT_FILES[doc] = "What lies in the boot partition: ORIGIN;TARGET, with ORIGIN below DEPLOY_DIR_IMAGE."
OTA_AB_BOOT_FILES_grub ?= " \
    grub-efi-${OTA_EFI_IMAGE};EFI/BOOT/${OTA_EFI_IMAGE} \
    ota-boot/grub.cfg;EFI/BOOT/grub.cfg \
    ota-boot/ota-board.cfg;EFI/BOOT/ota-board.cfg \
    ota-boot/grubenv;EFI/BOOT/grubenv \
"
OTA_AB_BOOT_FILES_uboot ?= " \
    ota-boot/boot.scr;boot.scr \
    ${@' '.join('ota-boot/uboot.env;%s' % name for name in ota_layer.bootscript.environment_files(d.getVar))} \
"
OTA_EFI_IMAGE ?= "${@{'x86_64': 'bootx64.efi', 'aarch64': 'bootaa64.efi'}.get(d.getVar('TARGET_ARCH'), 'bootia32.efi')}"

OTA_AB_WKS_SLOTS = "${@ota_layer.wks.slot_lines(ota_layer.layout.read_layout(d.getVar), d.getVar('OTA_AB_ROOTFS_FILE'))}"
OTA_AB_ROOTFS_FILE = "${IMGDEPLOYDIR}/${IMAGE_LINK_NAME}.ext4"

python () {
    ota_needs_bootloader(d)
    if not bb.utils.contains("DISTRO_FEATURES", "ota-agent", True, False, d):
        # GRUB would lack modules, and stop in the boot script.
        raise bb.parse.SkipRecipe('an A/B image needs DISTRO_FEATURES:append = " ota-agent"')
    tasks = {"grub": " ota-boot-grub:do_deploy grub-efi:do_deploy", "uboot": " ota-boot-uboot:do_deploy"}
    d.appendVarFlag("do_image_wic", "depends", tasks[d.getVar("OTA_BOOTLOADER")])
}

# What the boot and the data partition hold on a new device.
python ota_ab_stage () {
    import os
    import shutil

    slot = ota_layer.sizes.size(d.getVar("OTA_AB_SLOT_SIZE"))
    found = os.path.getsize(d.getVar("OTA_AB_ROOTFS_FILE"))
    if found > slot:
        bb.fatal("The image has %d bytes and does not fit into a slot of %d: raise OTA_AB_SLOT_SIZE" % (found, slot))
    for folder in ("OTA_AB_BOOT_DIR", "OTA_AB_DATA_DIR"):
        bb.utils.remove(d.getVar(folder), True)
        bb.utils.mkdirhier(d.getVar(folder))
    for entry in d.getVar("OTA_AB_BOOT_FILES").split():
        origin, _, target = entry.partition(";")
        out = os.path.join(d.getVar("OTA_AB_BOOT_DIR"), target or os.path.basename(origin))
        bb.utils.mkdirhier(os.path.dirname(out))
        shutil.copyfile(os.path.join(d.getVar("DEPLOY_DIR_IMAGE"), origin), out)
    for name, mode in (("state", 0o700), ("conf.d", 0o700)):
        path = os.path.join(d.getVar("OTA_AB_DATA_DIR"), "ota-agent", name)
        bb.utils.mkdirhier(path)
        os.chmod(path, mode)
}
ota_ab_stage[vardeps] += "OTA_AB_BOOT_FILES OTA_AB_SLOT_SIZE"
do_image_wic[prefuncs] += "ota_ab_stage"

# The boot and the data partition, and what of the data partition the agent uses.
ota_ab_fstab () {
    install -d ${IMAGE_ROOTFS}${OTA_AB_BOOT_MOUNT} ${IMAGE_ROOTFS}${OTA_AB_DATA_MOUNT}
    cat >> ${IMAGE_ROOTFS}${sysconfdir}/fstab <<EOF
PARTUUID=${OTA_AB_UUID_BOOT} ${OTA_AB_BOOT_MOUNT} vfat umask=0077,noatime,sync 0 0
PARTUUID=${OTA_AB_UUID_DATA} ${OTA_AB_DATA_MOUNT} ext4 noatime 0 2
${OTA_AB_DATA_MOUNT}/ota-agent/state ${localstatedir}/lib/ota-agent none bind,${OTA_AB_BIND_OPTIONS} 0 0
${OTA_AB_DATA_MOUNT}/ota-agent/conf.d ${sysconfdir}/ota-agent/conf.d none bind,x-systemd.requires-mounts-for=${OTA_AB_DATA_MOUNT} 0 0
EOF
}
# volatile-binds puts a file system in memory over /var/lib, which must not happen after this.
OTA_AB_BIND_OPTIONS = "x-systemd.requires-mounts-for=${OTA_AB_DATA_MOUNT},x-systemd.after=var-volatile-lib.service"
ROOTFS_POSTPROCESS_COMMAND += "ota_ab_fstab"
