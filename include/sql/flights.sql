-- The flights of one origin on one day. The source writes NA for a value that is missing.
SELECT *
FROM read_csv(
    $source,
    header = true,
    auto_detect = false,
    delim = ',',
    nullstr = 'NA',
    columns = {
        year: 'SMALLINT', month: 'TINYINT', day: 'TINYINT',
        dep_time: 'SMALLINT', sched_dep_time: 'SMALLINT', dep_delay: 'SMALLINT',
        arr_time: 'SMALLINT', sched_arr_time: 'SMALLINT', arr_delay: 'SMALLINT',
        carrier: 'VARCHAR', flight: 'INTEGER', tailnum: 'VARCHAR',
        origin: 'VARCHAR', dest: 'VARCHAR', air_time: 'SMALLINT', distance: 'SMALLINT',
        hour: 'TINYINT', minute: 'TINYINT', time_hour: 'TIMESTAMPTZ'
    }
)
WHERE origin = $origin
  AND make_date(year, month, day) = $date::DATE
ORDER BY time_hour, carrier, flight
