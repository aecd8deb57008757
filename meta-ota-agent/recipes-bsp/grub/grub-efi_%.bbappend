require ${@bb.utils.contains('DISTRO_FEATURES', 'ota-agent', 'grub-efi_ota-agent.inc', '', d)}
