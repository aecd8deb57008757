"""Makes and examines bundles on a build host or in CI: the command ``ota-bundle``. Devices do not need it."""
