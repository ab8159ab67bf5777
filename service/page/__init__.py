"""The page: what a browser shows of a server, and the same as a folder that opens from disk.

``assets`` are the files, plain scripts without a build step: ``vendor`` has the libraries of others as they are
published, ``views`` a file for each view. ``route`` serves them, ``report`` writes the folder.
"""
