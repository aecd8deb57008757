# Makes a signed bundle for ota-agent and RAUC with ota-bundle.
#
#   inherit ota_bundle
#   OTA_BUNDLE_VERSION = "2026.11.1"
#   OTA_BUNDLE_SLOTS = "rootfs"
#   OTA_SLOT_rootfs = "ota-image-minimal"
#   OTA_KEY_FILE = "/keys/release.key"       or a PKCS#11 URI, or OTA_SIGN_COMMAND instead
#   OTA_CERT_FILE = "/keys/release.pem"
#
# The variables are those of meta-rauc's bundle.bbclass with OTA_ instead of RAUC_: docs/yocto.md. Where OTA_X is not set,
# RAUC_X counts, so that a recipe only changes its "inherit".

LICENSE ?= "MIT"

inherit nopackages deploy image-artifact-names python3native ota_ab_layout

PACKAGE_ARCH = "${MACHINE_ARCH}"
INHIBIT_DEFAULT_DEPS = "1"
DEPENDS += "ota-bundler-native squashfs-tools-native"

S = "${UNPACKDIR}"
B = "${WORKDIR}/build"
BUNDLE_DIR = "${WORKDIR}/bundle"
OTA_SBOM_DIR = "${WORKDIR}/sbom"

OTA_BUNDLE_COMPATIBLE ??= "${@d.getVar('RAUC_BUNDLE_COMPATIBLE') or d.getVar('OTA_COMPATIBLE')}"
OTA_BUNDLE_COMPATIBLE[doc] = "Name of the device that the bundle is for."
OTA_BUNDLE_VERSION ??= "${@d.getVar('RAUC_BUNDLE_VERSION') or d.getVar('PV')}"
OTA_BUNDLE_DESCRIPTION ??= "${@d.getVar('RAUC_BUNDLE_DESCRIPTION') or d.getVar('SUMMARY')}"
OTA_BUNDLE_BUILD ??= "${@d.getVar('RAUC_BUNDLE_BUILD') or ''}"
OTA_BUNDLE_BUILD[doc] = "Build stamp. Empty by default: the same content shall make the same bundle."
OTA_BUNDLE_FORMAT ??= "${@d.getVar('RAUC_BUNDLE_FORMAT') or 'verity'}"
OTA_BUNDLE_FORMAT[doc] = "verity, crypt or plain."
OTA_BUNDLE_COMPRESSION ??= "gzip"
OTA_BUNDLE_COMPRESSION[doc] = "gzip, xz, zstd or lz4."
OTA_BUNDLE_EPOCH ??= ""
OTA_BUNDLE_EPOCH[doc] = "Seconds since 1970: the time of the signature and of all files. Empty: now, and 0."
OTA_BUNDLE_SBOM ??= "1"
OTA_BUNDLE_SBOM[doc] = "Deploy the SBOM of each image beside the bundle, and put its digest into the manifest."
OTA_IMAGE_FSTYPE ??= "${@d.getVar('RAUC_IMAGE_FSTYPE') or 'ext4'}"

OTA_KEY_FILE ??= "${@d.getVar('RAUC_KEY_FILE') or ''}"
OTA_KEY_FILE[doc] = "Private key of the signer: whole path of a PEM file, or a PKCS#11 URI."
OTA_CERT_FILE ??= "${@d.getVar('RAUC_CERT_FILE') or ''}"
OTA_CERT_FILE[doc] = "Certificate of the signer, then any others that issued it: whole path of a PEM file, or a PKCS#11 URI."
OTA_INTERMEDIATE_FILES ??= ""
OTA_INTERMEDIATE_FILES[doc] = "Certificates of authorities between the signer and the keyring."
OTA_SIGN_COMMAND ??= ""
OTA_SIGN_COMMAND[doc] = "Command that signs its standard input, instead of OTA_KEY_FILE."
OTA_PKCS11_MODULE ??= ""
OTA_PKCS11_MODULE[doc] = "The PKCS#11 library, where the URI names no module-path."
OTA_RECIPIENTS_CERT_FILE ??= "${@d.getVar('RAUC_RECIPIENTS_CERT_FILE') or ''}"
OTA_ENCRYPT_CRYPT_BUNDLE ??= "${@d.getVar('RAUC_ENCRYPT_CRYPT_BUNDLE') or '0'}"
BUNDLE_ARGS ??= ""
BUNDLE_ARGS[doc] = "Further arguments of ota-bundle create."

BUNDLE_BASENAME ??= "${PN}"
BUNDLE_NAME ??= "${BUNDLE_BASENAME}-${MACHINE}-${DATETIME}"
BUNDLE_NAME[vardepsexclude] = "DATETIME"
BUNDLE_LINK_NAME ??= "${BUNDLE_BASENAME}-${MACHINE}"
BUNDLE_EXTENSION ??= ".raucb"
ENCRYPTED_BUNDLE_BASENAME ??= "encrypted-${BUNDLE_BASENAME}"
ENCRYPTED_BUNDLE_NAME ??= "${ENCRYPTED_BUNDLE_BASENAME}-${MACHINE}-${DATETIME}"
ENCRYPTED_BUNDLE_NAME[vardepsexclude] = "DATETIME"
ENCRYPTED_BUNDLE_LINK_NAME ??= "${ENCRYPTED_BUNDLE_BASENAME}-${MACHINE}"
ENCRYPTED_BUNDLE_EXTENSION ??= "${BUNDLE_EXTENSION}"

do_patch[noexec] = "1"
do_compile[noexec] = "1"
do_install[noexec] = "1"
deltask do_populate_sysroot

def ota_bundle_plan(d):
    def flags(name):
        found = d.getVarFlags(name) or {}
        return {key: d.expand(value) for key, value in found.items() if isinstance(value, str)}
    def get(name):
        # Left as it is, so that a time in it is not part of the signature of the task.
        return "${OTA_BUNDLE_BUILD}" if name == "OTA_BUNDLE_BUILD" and d.getVar(name) else d.getVar(name)
    return ota_layer.bundle_plan.plan(ota_layer.bundle_plan.Recipe(get, flags))

def ota_sbom(d):
    """Task and ending of the SBOM that this release makes of an image; None where no class for it is inherited."""
    if d.getVar("OTA_BUNDLE_SBOM") != "1":
        return None
    if bb.data.inherits_class("create-spdx-3.0", d):
        return "do_create_image_sbom_spdx", ".spdx.json"
    if bb.data.inherits_class("create-spdx-2.2", d):
        return "do_image_complete", ".spdx.tar.zst"
    return None

python () {
    try:
        made = ota_bundle_plan(d)
    except ValueError as error:
        raise bb.parse.SkipRecipe(str(error))
    sbom = ota_sbom(d)
    tasks = made.tasks + ["%s:%s" % (recipe, sbom[0]) for _, recipe, _ in made.images if sbom]
    d.appendVarFlag("do_configure", "depends", " " + " ".join(tasks))
    d.appendVar("DEPENDS", " " + " ".join(made.natives))
    d.setVar("OTA_BUNDLE_MANIFEST", made.manifest)
    d.setVar("OTA_BUNDLE_SOURCES", repr(made.sources + made.images))
    if (d.getVar("OTA_KEY_FILE") or "").startswith("pkcs11:") or (d.getVar("OTA_CERT_FILE") or "").startswith("pkcs11:"):
        d.appendVar("DEPENDS", " python3-pkcs11-native")
    files = " ".join(d.getVar(name) or "" for name in
        ("OTA_KEY_FILE", "OTA_CERT_FILE", "OTA_INTERMEDIATE_FILES", "OTA_KEYRING_FILE", "OTA_RECIPIENTS_CERT_FILE"))
    for file in files.split():
        if not file.startswith("pkcs11:"):
            d.appendVarFlag("do_bundle", "file-checksums", " %s:False" % file)
}

python do_configure () {
    from pathlib import Path

    made = ota_bundle_plan(d)
    for warning in made.warnings:
        bb.warn(warning)
    deploy, target = Path(d.getVar("DEPLOY_DIR_IMAGE")), Path(d.getVar("BUNDLE_DIR"))
    try:
        ota_layer.bundle_files.collect(made.sources, [deploy, Path(d.getVar("UNPACKDIR"))], target, d.getVar("PATH"))
    except FileNotFoundError as error:
        bb.fatal("A file of the bundle is missing: %s" % error)
    digests, sbom = {}, ota_sbom(d)
    for place, (slot, recipe, base) in enumerate(made.images if sbom else []):
        document = deploy / (base + sbom[1])
        key = "sbom-sha256" if place == 0 else "sbom-sha256-" + slot
        digests[key] = ota_layer.bundle_files.digest_of(document)
        bb.utils.copyfile(str(document.resolve()), d.expand("${OTA_SBOM_DIR}/%s%s" % (slot, sbom[1])))
    text = ota_layer.bundle_plan.with_digests(d.getVar("OTA_BUNDLE_MANIFEST"), digests)
    (target / "manifest.raucm").write_text(text)
}
do_configure[cleandirs] = "${BUNDLE_DIR} ${OTA_SBOM_DIR}"
do_configure[vardeps] += "OTA_BUNDLE_MANIFEST OTA_BUNDLE_SOURCES"

do_bundle () {
    if [ -z "${OTA_CERT_FILE}" ]; then
        bbfatal "OTA_CERT_FILE is not set: name the certificate of the signer. For trying things out: ota-bundle keygen."
    fi
    if [ -z "${OTA_KEY_FILE}" ] && [ -z "${OTA_SIGN_COMMAND}" ]; then
        bbfatal "OTA_KEY_FILE is not set: name the private key of the signer, or set OTA_SIGN_COMMAND."
    fi
    # BitBake's own time is that of a commit long ago; devices take the time of a signature for a time that has been.
    unset SOURCE_DATE_EPOCH
    if [ -n "${OTA_BUNDLE_EPOCH}" ]; then
        export SOURCE_DATE_EPOCH="${OTA_BUNDLE_EPOCH}"
    fi
    if [ -n "${OTA_PKCS11_MODULE}" ]; then
        export OTA_BUNDLE_PKCS11_MODULE="${OTA_PKCS11_MODULE}"
    fi
    set -- --cert "${OTA_CERT_FILE}" --compression "${OTA_BUNDLE_COMPRESSION}"
    if [ -n "${OTA_SIGN_COMMAND}" ]; then
        set -- "$@" --sign-command '${OTA_SIGN_COMMAND}'
    else
        set -- "$@" --key "${OTA_KEY_FILE}"
    fi
    for each in ${OTA_INTERMEDIATE_FILES}; do
        set -- "$@" --intermediate "$each"
    done
    if [ -n "${OTA_KEYRING_FILE}" ]; then
        set -- "$@" --keyring "${OTA_KEYRING_FILE}"
    fi
    ota-bundle create "$@" ${BUNDLE_ARGS} ${BUNDLE_DIR} ${B}/bundle.raucb
    if [ "${OTA_ENCRYPT_CRYPT_BUNDLE}" = 1 ]; then
        if [ -z "${OTA_RECIPIENTS_CERT_FILE}" ] || [ -z "${OTA_KEYRING_FILE}" ]; then
            bbfatal "To encrypt, set OTA_RECIPIENTS_CERT_FILE and OTA_KEYRING_FILE."
        fi
        ota-bundle encrypt ${B}/bundle.raucb ${B}/encrypted-bundle.raucb \
            --keyring "${OTA_KEYRING_FILE}" --to "${OTA_RECIPIENTS_CERT_FILE}"
    fi
}
do_bundle[dirs] = "${B}"
do_bundle[cleandirs] = "${B}"
addtask bundle after do_configure

SSTATE_SKIP_CREATION:task-deploy = "1"

do_deploy () {
    install -m 0644 ${B}/bundle.raucb ${DEPLOYDIR}/${BUNDLE_NAME}${BUNDLE_EXTENSION}
    ln -sf ${BUNDLE_NAME}${BUNDLE_EXTENSION} ${DEPLOYDIR}/${BUNDLE_LINK_NAME}${BUNDLE_EXTENSION}
    if [ -e ${B}/encrypted-bundle.raucb ]; then
        install -m 0644 ${B}/encrypted-bundle.raucb ${DEPLOYDIR}/${ENCRYPTED_BUNDLE_NAME}${ENCRYPTED_BUNDLE_EXTENSION}
        ln -sf ${ENCRYPTED_BUNDLE_NAME}${ENCRYPTED_BUNDLE_EXTENSION} \
            ${DEPLOYDIR}/${ENCRYPTED_BUNDLE_LINK_NAME}${ENCRYPTED_BUNDLE_EXTENSION}
    fi
    for document in ${OTA_SBOM_DIR}/*; do
        if [ -e "$document" ]; then
            name="${document##*/}"
            install -m 0644 "$document" "${DEPLOYDIR}/${BUNDLE_NAME}-$name"
            ln -sf "${BUNDLE_NAME}-$name" "${DEPLOYDIR}/${BUNDLE_LINK_NAME}-$name"
        fi
    done
}
addtask deploy after do_bundle before do_build
