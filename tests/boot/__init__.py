"""Virtual machines in which the agent updates a device that real bootloaders start."""
