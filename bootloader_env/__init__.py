"""Which slot boots: environments of bootloaders, read and changed by one atomic write."""
