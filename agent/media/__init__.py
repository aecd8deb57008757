"""Updates from USB sticks and memory cards: what is plugged in, what is on it, and what of that is installed."""
