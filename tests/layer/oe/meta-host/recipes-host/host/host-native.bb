SUMMARY = "Programs of the host, for tasks that want a recipe of them"
LICENSE = "Apache-2.0"
INHIBIT_DEFAULT_DEPS = "1"
PROVIDES = "${PN} virtual/fakeroot-native pseudo-native shadow-native ldconfig-native apt-native dpkg-native python3-hatchling-native"

inherit nopackages python3-dir native

do_fetch[noexec] = "1"
do_unpack[noexec] = "1"
do_patch[noexec] = "1"
do_configure[noexec] = "1"
do_compile[noexec] = "1"

# The root is filled by the host's apt and dpkg; maintainer scripts run on the host with the root's path in D.
do_install() {
    install -d ${D}${sysconfdir}/apt
    install -D -m 0644 /dev/null ${D}${PYTHON_SITEPACKAGES_DIR}/README.txt
    cat > ${D}${sysconfdir}/apt/apt.conf.sample <<EOF
Dir "/";
Dir::State "#APTCONF#/";
Dir::State::Lists "#APTCONF#/lists/";
Dir::State::status "#ROOTFS#/var/lib/dpkg/status";
Dir::Cache "#APTCONF#/";
Dir::Cache::Archives "#APTCONF#/lists/";
Dir::Log "#APTCONF#/";
Dir::Etc "#APTCONF#/";
APT
{
  Architecture "replaced by the class";
};
APT::Sandbox::User "root";
APT::Install-Recommends "true";
APT::Immediate-Configure "false";
APT::Get::Assume-Yes "true";
Acquire::AllowInsecureRepositories "true";
Dir::Bin::dpkg "${HOSTTOOLS_DIR}/dpkg";
DPkg::Options { "--root=#ROOTFS#"; "--admindir=#ROOTFS#/var/lib/dpkg"; "--force-all"; "--no-debsig"; "--force-script-chrootless"; };
DPkg::Path "";
EOF
}
