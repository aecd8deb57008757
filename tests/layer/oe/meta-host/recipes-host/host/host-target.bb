SUMMARY = "Empty packages with the names of others' recipes, and what no disk boots without"
LICENSE = "Apache-2.0"
INHIBIT_DEFAULT_DEPS = "1"
PACKAGE_ARCH = "${MACHINE_ARCH}"

# HOST_PACKAGES: those that the checkout's recipes have and that our layer or a class names.
PROVIDES = "${PN} ${HOST_PACKAGES} virtual/kernel virtual/bootloader"
PACKAGES = "${HOST_PACKAGES} kernel-image"
# As the real ones do: a root gets its skeleton through them.
RDEPENDS:packagegroup-core-boot = "base-files"
RPROVIDES:kernel-image = "kernel kernel-modules kernel-base"
HOST_SKELETON ?= "base-files"

inherit deploy python3-dir

do_fetch[noexec] = "1"
do_unpack[noexec] = "1"
do_patch[noexec] = "1"
do_configure[noexec] = "1"
do_compile[noexec] = "1"

python () {
    for package in d.getVar("PACKAGES").split():
        d.setVar("ALLOW_EMPTY:" + package, "1")
        d.setVar("FILES:" + package, "")
    d.setVar("FILES:" + d.getVar("HOST_SKELETON"), "/etc /var /run /proc /sys /dev /tmp /data /mnt")
    d.setVar("FILES:kernel-image", "/boot")
    d.setVar("FILES:python3-core", "${PYTHON_SITEPACKAGES_DIR} ${bindir}/python3")
}

# A skeleton of a root, and the kernel HOST_KERNEL under the name of the machine's images.
do_install() {
    for directory in etc run proc sys dev tmp mnt boot var/lib; do
        install -d ${D}/$directory
    done
    echo 'root:x:0:0:root:/root:/bin/sh' > ${D}/etc/passwd
    echo 'root:x:0:' > ${D}/etc/group
    echo '/dev/root / auto defaults 1 1' > ${D}/etc/fstab
    # Scripts name the interpreter, and classes of Python packages expect that something lies in its folder already.
    install -D -m 0755 /dev/null ${D}${bindir}/python3
    install -D -m 0644 /dev/null ${D}${PYTHON_SITEPACKAGES_DIR}/README.txt
    for type in ${KERNEL_IMAGETYPES} ${KERNEL_IMAGETYPE}; do
        install -m 0644 ${HOST_KERNEL} ${D}/boot/$type
    done
}
KERNEL_IMAGETYPES ?= ""

do_deploy() {
    for type in ${KERNEL_IMAGETYPES} ${KERNEL_IMAGETYPE}; do
        install -m 0644 ${HOST_KERNEL} ${DEPLOYDIR}/$type
    done
}
addtask deploy after do_install before do_build

INSANE_SKIP:kernel-image = "arch ldflags already-stripped"
INHIBIT_PACKAGE_STRIP = "1"
INHIBIT_SYSROOT_STRIP = "1"
INHIBIT_PACKAGE_DEBUG_SPLIT = "1"
