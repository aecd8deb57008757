"""Decides, remembers, commits, tells: the process that stays."""
