"""Settings of the server, including its API keys."""
