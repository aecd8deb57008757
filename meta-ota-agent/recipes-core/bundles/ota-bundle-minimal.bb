SUMMARY = "Update to ota-image-minimal"
LICENSE = "MIT"
PV = "${DISTRO_VERSION}"

inherit ota_bundle

OTA_BUNDLE_SLOTS ?= "rootfs"
OTA_SLOT_rootfs ?= "ota-image-minimal"

# Needs a key: OTA_KEY_FILE and OTA_CERT_FILE in the configuration.
EXCLUDE_FROM_WORLD = "1"
