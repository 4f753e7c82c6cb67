-- What is known of a flight when it leaves the gate, and how late it arrived (minutes). Flights that
-- never arrived are left out. No carrier means every carrier. The order is total, so that two runs
-- train on the same rows in the same order.
SELECT
    carrier,
    origin,
    dest,
    dep_delay,
    distance,
    60 * hour::SMALLINT + minute AS minute_of_day,
    isodow(make_date(year, month, day)) AS weekday,
    arr_delay
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
WHERE arr_delay IS NOT NULL
  AND dep_delay IS NOT NULL
  AND day BETWEEN $first_day AND $last_day
  AND ($carrier::VARCHAR IS NULL OR carrier = $carrier::VARCHAR)
ORDER BY day, sched_dep_time, carrier, flight, origin
