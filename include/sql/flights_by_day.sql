-- How many flights left each origin on each day, and how late, computed from all loaded rows.
CREATE OR REPLACE TABLE flights_by_day AS
SELECT origin, year, month, day, count(*) AS flights, avg(dep_delay) AS mean_departure_delay
FROM flights
GROUP BY origin, year, month, day
