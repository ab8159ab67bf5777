"""What commands and client show on a terminal."""
