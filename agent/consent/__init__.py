"""When an update may go on: what the owner, the user, the server and the surroundings have to say. See ``docs/consent.md``."""
