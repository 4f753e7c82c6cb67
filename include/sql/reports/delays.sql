-- How late flights left an airport, by day.
SELECT day, count(*) AS flights, round(avg(dep_delay), 1) AS mean_delay
FROM read_csv($source, nullstr = 'NA')
WHERE origin = $subject
GROUP BY day
ORDER BY day
