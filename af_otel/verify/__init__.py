"""A synthetic user of a facility, and the proof of each hop that its session left."""
