"""Headers of the service's own."""

REQUEST_ID_HEADER = "X-Request-ID"
