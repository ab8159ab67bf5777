"""What is kept on disk: the data folder, its database, Parquet files."""
