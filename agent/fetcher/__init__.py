"""The only code that opens a network connection: an unprivileged process for one conversation."""
