"""The S3 protocol without any I/O of its own: bytes and dicts in, values out."""
