"""``ota-agent doctor``: looks at the whole device, finds what would hinder an update, and says how to mend it."""
