"""What was decided on this device, in a chain of records that shows what is missing from it: docs/audit.md."""
