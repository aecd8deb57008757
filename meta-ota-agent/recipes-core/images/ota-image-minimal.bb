SUMMARY = "Small image with two systems and the update agent"
LICENSE = "MIT"

inherit core-image ota_ab_image

IMAGE_INSTALL += "packagegroup-core-boot"
IMAGE_LINGUAS = ""

# Only builds when it is asked for: a bootloader must be chosen, and world has no use for it.
EXCLUDE_FROM_WORLD = "1"
