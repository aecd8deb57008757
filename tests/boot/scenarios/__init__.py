"""What can go wrong with an update, on real bootloaders."""
