-- What one aircraft did.
SELECT day, origin, dest AS destination, flight
FROM read_csv($source, nullstr = 'NA')
WHERE tailnum = $subject
ORDER BY day, sched_dep_time
