// How periods stand in rows: hours of a day, days of a month, months of a year, and what holds many of them.

// A cell is the first `cell` characters of a value, a block of rows the first `block`, a column what `column` finds.
const part = (from, to) => (value) => value.slice(from, to);
const HOUR = { unit: "hour", cell: 13, block: 10, column: part(11, 13) };
// Times with minutes: a row is a day, or an hour where a day would have too many columns.
const TIME = { ...HOUR, unit: "time", column: timeOf };
const MINUTE = { unit: "minute", cell: 16, block: 13, column: part(13, 16) };
const MANY_TIMES = 100;
const DAY = { unit: "day", cell: 10, block: 7, column: part(8, 10) };
const WEEK = { unit: "week", cell: 8, block: 4, column: part(6, 8) };
const MONTH = { unit: "month", cell: 7, block: 4, column: part(5, 7) };
const QUARTER = { unit: "quarter", cell: 7, block: 4, column: part(5, 7) };
const YEAR = { unit: "year", cell: 4, block: 0, column: part(0, 4) };

// As partitions/periods.py writes them, and times of others.
const FORMS = [
  { form: /^\d{4}-\d\d-\d\d[T ]\d\d/, levels: [HOUR, DAY, MONTH, YEAR], rank: 6 },
  { form: /^\d{4}-\d\d-\d\d$/, levels: [DAY, MONTH, YEAR], rank: 5 },
  { form: /^\d{4}-W\d\d$/, levels: [WEEK, YEAR], rank: 4 },
  { form: /^\d{4}-\d\d$/, levels: [MONTH, YEAR], rank: 3 },
  { form: /^\d{4}-Q\d$/, levels: [QUARTER, YEAR], rank: 2 },
  { form: /^\d{4}$/, levels: [YEAR], rank: 1 },
];

/** `05` of `2013-01-01T05-0500`, `05:15` where there are minutes. */
function timeOf(value) {
  const minutes = value.slice(13, 16);
  return value.slice(11, 13) + (/^:(?!00)\d\d$/.test(minutes) ? minutes : "");
}

/** `{levels, rank}` of a dimension whose values are periods, the finest first; `null` where they are none. */
export function formOf({ values }) {
  const found = FORMS.find(({ form }) => form.test(values[0] ?? ""));
  if (!found || !values.every((value) => found.form.test(value))) return null;
  const { levels, rank } = found;
  const used = levels[0] === HOUR ? levelsOf(values, levels) : levels;
  return { levels: [{ ...used[0], cell: Infinity }, ...used.slice(1)], rank };
}

/** Hours as they are; where there are minutes these in their hours; the same time of every day is a day. */
function levelsOf(values, levels) {
  const times = new Set(values.map(timeOf));
  if (times.size === 1 && values.length > 1) return levels.slice(1);
  if (times.size > MANY_TIMES) return [MINUTE, ...levels];
  return [...times].some((time) => time.length > 2) ? [TIME, ...levels] : levels;
}

const range = (from, to) => Array.from({ length: to - from + 1 }, (_, n) => String(n + from).padStart(2, "0"));
const WANTED = { day: range(1, 31), hour: range(0, 23), month: range(1, 12) };
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** What stands above a column: `1` of `01`, `Jan`, `5:15`, after another of that hour `:15`. */
export function headOf(level, column, before) {
  if (level.unit === "month") return MONTHS[Number(column) - 1];
  const [hour, minutes] = column.split(":");
  return minutes && before?.split(":")[0] === hour ? `:${minutes}` : column.replace(/^0(?=\d)/, "");
}

/**
 * Arrange places of a dimension: `{columns: [text], blocks: [{name, cells: Map(column -> {name, places})}]}`, newest block first.
 * An hour that comes twice in a night has columns of its own; where a row is an hour, a row.
 */
export function arranged(level, values, places) {
  const blocks = new Map();
  for (const place of places) {
    const value = values[place];
    const whole = level.cell === Infinity ? value : value.slice(0, level.cell);
    let [name, column] = [value.slice(0, level.block), level.column(value)];
    const taken = () => (blocks.get(name)?.get(column)?.name ?? whole) !== whole;
    while (taken()) {
      if (level.unit === "minute") name += "′";
      else column = `${column.slice(0, 2)}′${column.slice(2)}`;
    }
    if (!blocks.has(name)) blocks.set(name, new Map());
    const cells = blocks.get(name);
    if (!cells.has(column)) cells.set(column, { name: whole, places: [] });
    cells.get(column).places.push(place);
  }
  const found = new Set([...blocks.values()].flatMap((cells) => [...cells.keys()]));
  const usual = WANTED[level.unit] ?? [];
  const [first, last] = [[...found].sort()[0], [...found].sort().at(-1)];
  // A scheme with minutes has the columns that it has. Beneath each other months have 31 days, a single one its own.
  if (usual.includes(first)) {
    for (const one of usual) if (blocks.size > 1 || (one >= first && one <= last)) found.add(one);
  }
  return {
    columns: [...found].sort(),
    blocks: [...blocks].map(([name, cells]) => ({ name, cells })).sort((a, b) => (a.name < b.name ? 1 : -1)),
  };
}
