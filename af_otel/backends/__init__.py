"""What Tempo and Prometheus answer over their public HTTP APIs, and a session told from it."""
