"""Fuzzing of everything that parses what we did not write; see docs/fuzzing.md."""
