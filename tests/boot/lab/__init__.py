"""What the boot tests are made of: guests, disks, machines."""
