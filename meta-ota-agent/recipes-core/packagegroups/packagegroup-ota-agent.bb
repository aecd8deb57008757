SUMMARY = "Update agent with everything that it needs on an A/B device"

PACKAGE_ARCH = "${MACHINE_ARCH}"

inherit packagegroup ota_ab_layout

python () {
    ota_needs_bootloader(d)
}

RDEPENDS:${PN} = " \
    ota-agent \
    ota-agent-fetch \
    ota-agent-service \
    virtual-ota-agent-conf \
"
