"""From a request for ranks to queries, and from ranked queries to the answer."""
