"""Build the real servers from their pins; `tools/build_servers.py` is the way in."""
