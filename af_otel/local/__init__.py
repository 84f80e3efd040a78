"""A whole analysis facility on this machine, made of the real parts."""
