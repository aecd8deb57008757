"""One file, one command of ``ota-bundle``."""
