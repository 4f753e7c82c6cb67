"""Delta tables, by deltalake: whole partitions are replaced, in one version."""
