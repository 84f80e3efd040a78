"""What can stand in the way of telemetry, one file each."""
