"""Another engine: DuckDB's own Iceberg extension, which deletes rows without writing their file anew.

It runs in the environment of the catalog: `delete_rows.py URI TOKEN TABLE CONDITION`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb


def main(uri, token, table, condition):
    connection = duckdb.connect()
    packages = Path(duckdb.__file__).parents[1]
    for name in ("avro", "httpfs", "iceberg"):
        (extension,) = packages.glob(f"duckdb_extension_{name}/extensions/*/*.duckdb_extension")
        connection.execute(f"LOAD '{extension}'")
    connection.execute(f"CREATE SECRET catalog (TYPE iceberg, TOKEN '{token}')")
    connection.execute(f"ATTACH 'lake' AS lake (TYPE iceberg, ENDPOINT '{uri}', SECRET catalog)")
    connection.execute(f"DELETE FROM lake.{table} WHERE {condition}")


if __name__ == "__main__":
    main(*sys.argv[1:])
