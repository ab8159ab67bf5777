"""Jobs: whole splits or long lists of triples, ranked in the background, stored as they go, and gone on with after
a restart."""
