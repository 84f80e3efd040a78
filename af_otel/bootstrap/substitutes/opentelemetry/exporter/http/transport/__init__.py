"""Only the base class and the transport of this payload are there."""
