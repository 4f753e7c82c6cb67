-- Where a carrier flew to, and how often.
SELECT dest AS destination, count(*) AS flights
FROM read_csv($source, nullstr = 'NA')
WHERE carrier = $subject
GROUP BY dest
ORDER BY flights DESC, dest
