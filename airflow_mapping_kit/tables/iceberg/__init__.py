"""Iceberg tables, with pyiceberg: one snapshot for what many instances staged."""
