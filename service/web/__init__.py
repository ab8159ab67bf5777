"""HTTP: the server, what every request passes, and how errors are answered."""
