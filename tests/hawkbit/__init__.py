"""One set of promises for every server: the development server, goosebit, and hawkBit itself, old and new."""
