"""The DDI protocol of hawkBit as values: documents in, feedback out; no clock, disk or network."""
