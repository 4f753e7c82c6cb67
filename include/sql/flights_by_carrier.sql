-- What each carrier flew from one origin on one day. The dimensions are filled in.
SELECT
    carrier,
    count(*) AS flights,
    round(avg(delay), 1) AS mean_delay
FROM flights_raw
WHERE origin = %(origin)s
  AND date = %(date)s
GROUP BY carrier
