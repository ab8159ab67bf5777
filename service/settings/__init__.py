"""Settings of the server, and the API keys that they hold."""
