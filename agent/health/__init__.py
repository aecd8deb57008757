"""One health check per file, one verdict."""
