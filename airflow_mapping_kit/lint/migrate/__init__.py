"""Writing one DAG with a mapped task in place of several DAGs: a new file, beside the old ones."""
