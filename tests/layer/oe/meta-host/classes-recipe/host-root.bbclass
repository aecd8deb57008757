# Lays Debian's root (HOST_ROOT, a tar archive) over that of an image, whose packages of other layers are empty: an image that
# boots to its services. What openembedded-core's base-files and volatile-binds would install, they do: the files are theirs.
#
# Of the archive, users and groups go behind those of the image's packages.
host_root () {
    tar -x -C ${IMAGE_ROOTFS} --keep-directory-symlink --exclude=./etc/passwd --exclude=./etc/group -f ${HOST_ROOT}
    for file in passwd group; do
        tar -x -O -f ${HOST_ROOT} ./etc/$file | cat ${IMAGE_ROOTFS}${sysconfdir}/$file - > ${WORKDIR}/host-$file
        awk -F: '!known[$1]++' ${WORKDIR}/host-$file > ${IMAGE_ROOTFS}${sysconfdir}/$file
    done
    printf 'ID=host\nNAME="Host"\nVERSION_ID=${DISTRO_VERSION}\n' > ${IMAGE_ROOTFS}${sysconfdir}/os-release
    install -d ${IMAGE_ROOTFS}${nonarch_libdir}/systemd/system-preset
    echo 'disable *' > ${IMAGE_ROOTFS}${nonarch_libdir}/systemd/system-preset/99-default.preset

    core=${COREBASE}/meta/recipes-core
    install -m 0644 $core/base-files/base-files/fstab ${IMAGE_ROOTFS}${sysconfdir}/fstab
    install -m 0644 $core/systemd/systemd/00-create-volatile.conf ${IMAGE_ROOTFS}${nonarch_libdir}/tmpfiles.d
    install -m 0755 $core/volatile-binds/files/mount-copybind ${IMAGE_ROOTFS}${sbindir}
    install -d ${IMAGE_ROOTFS}${localstatedir}/volatile ${IMAGE_ROOTFS}${sysconfdir}/systemd/system/local-fs.target.wants
    ln -sfn volatile/tmp ${IMAGE_ROOTFS}${localstatedir}/tmp
    # GLib looks for the system bus in /var/run.
    rm -rf ${IMAGE_ROOTFS}${localstatedir}/run ${IMAGE_ROOTFS}${localstatedir}/lock
    ln -s ../run ${IMAGE_ROOTFS}${localstatedir}/run
    ln -s ../run/lock ${IMAGE_ROOTFS}${localstatedir}/lock
    for place in lib cache; do
        install -d ${IMAGE_ROOTFS}${localstatedir}/$place
        unit=var-volatile-$place.service
        sed -e "s#@what@#${localstatedir}/volatile/$place#; s#@where@#${localstatedir}/$place#" \
            -e "s#@whatparent@#${localstatedir}/volatile#; s#@whereparent@#${localstatedir}#; s#@avoid_overlayfs@#0#" \
            $core/volatile-binds/files/volatile-binds.service.in > ${IMAGE_ROOTFS}${systemd_system_unitdir}/$unit
        ln -sf ${systemd_system_unitdir}/$unit ${IMAGE_ROOTFS}${sysconfdir}/systemd/system/local-fs.target.wants/$unit
    done
    # As tmp.mount, which systemd enables and Debian does not.
    echo "tmpfs /tmp tmpfs mode=1777,nosuid,nodev 0 0" >> ${IMAGE_ROOTFS}${sysconfdir}/fstab
    # A device that keeps its journal: tests read what was said before a restart.
    install -d ${IMAGE_ROOTFS}${localstatedir}/log
    echo "${OTA_AB_DATA_MOUNT}/log ${localstatedir}/log none bind,x-systemd.requires-mounts-for=${OTA_AB_DATA_MOUNT} 0 0" \
        >> ${IMAGE_ROOTFS}${sysconfdir}/fstab
}
ROOTFS_POSTPROCESS_COMMAND:prepend = "host_root "
