"""Set-up that several tests share."""
