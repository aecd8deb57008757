"""Verify, then write: a process without network."""
