"""What the metadata of Parquet files say of how they were written."""

from __future__ import annotations

import duckdb


def row_groups(paths):
    """Return the codecs and the numbers of rows of the row groups of files: `{("ZSTD", 122880)}`."""
    asked = "SELECT DISTINCT compression, row_group_num_rows FROM parquet_metadata($paths)"
    return set(duckdb.execute(asked, {"paths": [str(path) for path in paths]}).fetchall())
