"""Devices that cost a few milliseconds each: the whole agent, on a simulated board, against servers that may be real."""
