"""Storage on disk: the data folder, its database, Parquet files."""
