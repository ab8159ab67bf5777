"""The text of triple files: lines, atoms, triples. Needs nothing but Python, for clients read such files too."""
