"""ota-agent: what to do with an update, and when."""

__version__ = "0.1.0"
