"""What an update is: the RAUC bundle, read, trusted and made."""
