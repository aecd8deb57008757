require ${@bb.utils.contains('DISTRO_FEATURES', 'ota-agent', 'linux-yocto_ota-agent.inc', '', d)}
