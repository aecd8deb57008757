"""Where an update goes: slots, the booted one, the target, and writing to it."""
