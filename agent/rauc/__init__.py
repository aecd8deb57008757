"""RAUC's D-Bus interface in front of ours, in a process of its own: ``rauc``, rauc-hawkbit-updater and GUIs work unchanged."""
