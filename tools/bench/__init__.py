"""`make bench`: idle memory of the daemon, and an installation side by side with rauc, in one run on one machine."""
