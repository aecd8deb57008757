"""A device with a real systemd, dbus-daemon, journald, logind and polkit: a container of systemd-nspawn.

What it can show and what not: docs/testing-systemd.md.
"""
