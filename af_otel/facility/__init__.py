"""A facility as its operator describes it."""
