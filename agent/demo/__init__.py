"""A device and a server in a folder: the first five minutes, and a stage for tests."""
