"""Tables of a DuckLake, by DuckDB alone: partitions are replaced in one transaction, which is one snapshot."""
