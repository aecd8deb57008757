"""One set of promises for every server: the development server, and hawkBit itself, old and new."""
