"""Why a new system did not stay: what it noted down, what the hardware and the kernel left behind, and what that means."""
