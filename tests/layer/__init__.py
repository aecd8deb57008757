"""meta-ota-agent held against its rules, and built with the classes of OpenEmbedded."""
