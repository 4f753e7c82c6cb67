-- The flights of one origin on one day.
SELECT *
FROM read_parquet($source)
WHERE origin = $origin
  AND date = $date::DATE
ORDER BY carrier, flight
