"""A synthetic user of the local facility, and the proof of each hop that its session left."""
