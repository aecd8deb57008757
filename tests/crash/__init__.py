"""Every moment at which the power may fail during a recorded update: ``docs/crash.md``."""
