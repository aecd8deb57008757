require ${@bb.utils.contains('DISTRO_FEATURES', 'ota-agent', 'rauc_ota-agent.inc', '', d)}
