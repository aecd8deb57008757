"""From RAUC's ``system.conf`` and rauc-hawkbit-updater's ``config.conf`` to our TOML. Pure; only the command line loads it.

``source`` reads a file and knows its lines; ``rauc_table`` and ``updater_table`` have a row for every key that those programs
know; ``translate`` applies the rows; ``rules`` is what only several keys together can tell; ``writer`` makes the text.
"""
