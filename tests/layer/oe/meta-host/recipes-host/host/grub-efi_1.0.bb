SUMMARY = "The host's GRUB with the modules that openembedded-core's recipe builds in"
LICENSE = "GPL-3.0-or-later"
INHIBIT_DEFAULT_DEPS = "1"
PACKAGE_ARCH = "${MACHINE_ARCH}"

inherit deploy nopackages

do_fetch[noexec] = "1"
do_unpack[noexec] = "1"
do_patch[noexec] = "1"
do_configure[noexec] = "1"
do_install[noexec] = "1"

# HOST_GRUB_BUILDIN: as the checkout has it. A bbappend of another layer may add to it, as to the recipe itself.
GRUB_BUILDIN ?= "${HOST_GRUB_BUILDIN}"

# wic wants a recipe of it on every machine that has EFI, even where the disk has U-Boot.
do_compile () {
    touch ${B}/grub-efi-none.efi
}
do_compile:x86-64 () {
    grub-mkimage -d /usr/lib/grub/x86_64-efi -O x86_64-efi -p /EFI/BOOT -o ${B}/grub-efi-bootx64.efi ${GRUB_BUILDIN}
}

do_deploy () {
    install -m 0644 ${B}/grub-efi-*.efi ${DEPLOYDIR}
}
addtask deploy after do_compile before do_build
