# The one description of a device with two systems or more. The disk, the boot script, the first boot environment, fstab and
# the agent's configuration are made from these variables. They must be the same for all recipes: set them in the
# configuration of the machine or the distribution, or in conf/ota-agent/${MACHINE}.inc of a layer, never in a recipe.

include conf/ota-agent/${MACHINE}.inc

OTA_COMPATIBLE ??= "${MACHINE}${TARGET_VENDOR}"
OTA_COMPATIBLE[doc] = "Name of the device; bundles are made for it, and the agent takes no others."

OTA_BOOTLOADER ??= ""
OTA_BOOTLOADER[doc] = "grub (EFI) or uboot."
OTA_BOOT_ATTEMPTS ??= "3"
OTA_BOOT_ATTEMPTS[doc] = "Boots that a new system gets to prove itself, 1 to 9."

# The partitions, in their order: boot, one for each slot, data.
OTA_AB_SLOTS ??= "A B"
OTA_AB_SLOTS[doc] = "Boot names of the slots, two or three; the first one is filled in the factory."
OTA_AB_SLOT_SIZE ??= "1G"
OTA_AB_SLOT_SIZE[doc] = "Size of each slot, whole MiB. An image that does not fit fails the build."
OTA_AB_BOOT_SIZE ??= "64M"
OTA_AB_DATA_SIZE ??= "256M"

OTA_AB_LABEL_BOOT ??= "boot"
OTA_AB_LABEL_A ??= "rootfs-a"
OTA_AB_LABEL_B ??= "rootfs-b"
OTA_AB_LABEL_C ??= "rootfs-c"
OTA_AB_LABEL_DATA ??= "data"

OTA_AB_UUID_BOOT ??= "3f6b4c56-3d2e-4e0a-9d29-6f1c41c3a000"
OTA_AB_UUID_A ??= "3f6b4c56-3d2e-4e0a-9d29-6f1c41c3a00a"
OTA_AB_UUID_B ??= "3f6b4c56-3d2e-4e0a-9d29-6f1c41c3a00b"
OTA_AB_UUID_C ??= "3f6b4c56-3d2e-4e0a-9d29-6f1c41c3a00c"
OTA_AB_UUID_DATA ??= "3f6b4c56-3d2e-4e0a-9d29-6f1c41c3a0d0"

OTA_AB_BOOT_MOUNT ??= "/boot/firmware"
OTA_AB_BOOT_MOUNT[doc] = "Where the running system mounts the boot partition. Below /boot, which is where the agent may write."
OTA_AB_DATA_MOUNT ??= "/data"
OTA_AB_DATA_MOUNT[doc] = "Where the running system mounts the data partition, which all slots share."

# The kernel lies in the slot and is updated with it.
OTA_KERNEL_PATH ??= "/boot/${KERNEL_IMAGETYPE}"
OTA_KERNEL_ARGS ??= "ro rootwait"
OTA_INITRD_PATH ??= ""
OTA_INITRD_PATH[doc] = "Initial RAM disk in the slot, for a kernel that needs one and does not contain it; empty: none."

# U-Boot only.
OTA_UBOOT_MEDIUM ??= "mmc 0"
OTA_UBOOT_MEDIUM[doc] = "Interface and device of U-Boot's load command."
OTA_UBOOT_BOOT ??= ""
OTA_UBOOT_BOOT[doc] = "U-Boot commands that load and start slot ${ota_slot} from partition ${ota_part}; empty: load and booti, with OTA_INITRD_PATH."
OTA_UBOOT_ENV_CONFIG ??= ""
OTA_UBOOT_ENV_CONFIG[doc] = "Lines for fw_env.config, separated by \n. Empty: the board's own /etc/fw_env.config counts."
OTA_UBOOT_ENV_FILE ??= ""
OTA_UBOOT_ENV_FILE[doc] = "File in the boot partition, for a U-Boot that cannot store its environment. Best for trying things out."
OTA_UBOOT_ENV_SIZE ??= "0x4000"

# Whom devices trust. ota-agent-conf installs it, ota_bundle holds each finished bundle against it.
OTA_KEYRING_FILE ??= "${@d.getVar('RAUC_KEYRING_FILE') or ''}"
OTA_KEYRING_FILE[doc] = "PEM file of the authorities that devices trust, as a whole path."

def ota_needs_bootloader(d, *kinds):
    """Skips a recipe that is for other bootloaders than the device has."""
    try:
        kind = ota_layer.settings.bootloader_of(d.getVar)
    except ValueError as error:
        raise bb.parse.SkipRecipe("%s; set it in conf/ota-agent/%s.inc of a layer" % (error, d.getVar("MACHINE")))
    if kinds and kind not in kinds:
        raise bb.parse.SkipRecipe("OTA_BOOTLOADER is %s" % kind)

# Names for [vardeps] of tasks that hand d.getVar to ota_layer: BitBake cannot see through that.
OTA_AB_VARIABLES = " \
    OTA_COMPATIBLE OTA_BOOTLOADER OTA_BOOT_ATTEMPTS OTA_KERNEL_PATH OTA_KERNEL_ARGS OTA_INITRD_PATH \
    OTA_AB_SLOTS OTA_AB_SLOT_SIZE OTA_AB_BOOT_SIZE OTA_AB_DATA_SIZE OTA_AB_BOOT_MOUNT OTA_AB_DATA_MOUNT \
    OTA_UBOOT_MEDIUM OTA_UBOOT_BOOT OTA_UBOOT_ENV_CONFIG OTA_UBOOT_ENV_FILE OTA_UBOOT_ENV_SIZE \
    ${@' '.join('OTA_AB_%s_%s' % (what, name) for what in ('LABEL', 'UUID') \
        for name in ['BOOT', 'DATA'] + (d.getVar('OTA_AB_SLOTS') or '').split())} \
"
