"""Activities as rows of a file, for the commands and for the page; Parquet is that of the commands alone."""
