"""The files of the S3 to Snowflake example: where they land, and the table and the stage that wait for them."""

from __future__ import annotations

import csv
import gzip
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from stack.snowflake import Snowflake

BUCKET = "flights"

TABLE = """
CREATE TABLE flights (
    year INT, month INT, day INT, dep_time INT, sched_dep_time INT, dep_delay INT, arr_time INT,
    sched_arr_time INT, arr_delay INT, carrier VARCHAR, flight INT, tailnum VARCHAR, origin VARCHAR,
    dest VARCHAR, air_time INT, distance INT, hour INT, minute INT, time_hour TIMESTAMP_NTZ
)
"""


def split(source: Path) -> dict[str, bytes]:
    """Return one CSV file an origin and day, by key: `landing/20130101/EWR.csv`."""
    texts: dict[str, io.StringIO] = {}
    with gzip.open(source, "rt", newline="") as file:
        reader = csv.reader(file)
        header = next(reader)
        columns = {name: number for number, name in enumerate(header)}
        for row in reader:
            year, month, day = (int(row[columns[name]]) for name in ("year", "month", "day"))
            key = f"landing/{year}{month:02}{day:02}/{row[columns['origin']]}.csv"
            if key not in texts:
                texts[key] = io.StringIO(newline="")
                csv.writer(texts[key], lineterminator="\n").writerow(header)
            csv.writer(texts[key], lineterminator="\n").writerow(row)
    return {key: text.getvalue().encode() for key, text in sorted(texts.items())}


def land(client: Any, files: dict[str, bytes]) -> None:
    """Put the files where the DAG looks for them; ``client`` is boto3's for S3."""
    for key, body in files.items():
        client.put_object(Bucket=BUCKET, Key=key, Body=body)


def prepare(client: Any, snowflake: Snowflake) -> None:
    """Make the bucket, the table and the stage."""
    client.create_bucket(Bucket=BUCKET)
    snowflake.sql(TABLE)
    snowflake.sql(f"CREATE STAGE landing URL = 's3://{BUCKET}/landing/'")
