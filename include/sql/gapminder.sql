-- What is known of one country in one year.
SELECT continent, "lifeExp" AS life_expectancy, pop AS population, "gdpPercap" AS gdp_per_capita
FROM read_csv(
    $source,
    header = true,
    auto_detect = false,
    delim = ',',
    quote = '"',
    columns = {
        country: 'VARCHAR', continent: 'VARCHAR', year: 'SMALLINT',
        "lifeExp": 'DOUBLE', pop: 'BIGINT', "gdpPercap": 'DOUBLE'
    }
)
WHERE country = $country
  AND year = $year
