"""How an image gets into a slot: one handler for each way, and the table that says which pairs there are."""
