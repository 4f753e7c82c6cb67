"""Read a lake over and over, until a file appears; write what was seen, as JSON, into that file.

`ARGUMENTS` comes from `runpy.run_path`: `glob`, `settings` (SQL statements), `stop` (the file).
Each row of the lake has a `version`; a partition is whole if all its rows, `whole` of them, have the same.
"""

from __future__ import annotations

import json
from pathlib import Path

import duckdb

given = ARGUMENTS  # noqa: F821  see above
connection = duckdb.connect(config={"threads": 1})
for statement in given["settings"]:
    connection.execute(statement)
query = (
    "SELECT p, count(*), count(DISTINCT version), min(version) "
    f"FROM read_parquet('{given['glob']}', hive_partitioning = true) GROUP BY p ORDER BY p"
)
seen = {"whole": 0, "versions": [], "broken": [], "changed_while_read": 0}
stop = Path(given["stop"])
while not stop.exists() or not seen["whole"]:
    try:
        found = connection.execute(query).fetchall()
    except duckdb.Error as error:
        # An S3 client that notices a new object between two requests says so: it read nothing wrong.
        if "ETag" in str(error):
            seen["changed_while_read"] += 1
        else:
            seen["broken"].append(str(error))
    else:
        for partition, rows, versions, version in found:
            if (rows, versions) == (given["whole"], 1):
                seen["versions"] = sorted({*seen["versions"], version})
            else:
                seen["broken"].append([partition, rows, versions])
        if len(found) != given["partitions"]:
            seen["broken"].append([f"{len(found)} partitions"])
        seen["whole"] += 1
    if len(seen["broken"]) > 5:
        break
Path(given["result"]).write_text(json.dumps(seen))
