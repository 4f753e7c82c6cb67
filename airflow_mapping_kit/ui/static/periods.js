// How periods stand in rows: hours of a day, days of a month, months of a year, and what holds many of them.

// A cell is the first `cell` characters of a value, a block of rows the first `block`, a column what lies between.
const HOUR = { unit: "hour", cell: 16, block: 10, column: [11, 16] };
const DAY = { unit: "day", cell: 10, block: 7, column: [8, 10] };
const WEEK = { unit: "week", cell: 10, block: 4, column: [5, 10] };
const MONTH = { unit: "month", cell: 7, block: 4, column: [5, 7] };
const YEAR = { unit: "year", cell: 4, block: 0, column: [0, 4] };

const FORMS = [
  { form: /^\d{4}-\d\d-\d\d[T ]\d\d/, levels: [HOUR, DAY, MONTH, YEAR] },
  { form: /^\d{4}-\d\d-\d\d$/, levels: [DAY, MONTH, YEAR] },
  { form: /^\d{4}-\d\d$/, levels: [MONTH, YEAR] },
  { form: /^\d{4}$/, levels: [YEAR] },
];
const SKIPS = { day: "day", week: "week", month: "month", quarter: "month", year: "year" };

/** The levels of a dimension whose values are periods, the finest first; `null` where they are none. */
export function formOf({ values, cadence }) {
  const { form, levels } = FORMS.find((one) => one.form.test(values[0] ?? "")) ?? {};
  if (!form || !values.every((value) => form.test(value))) return null;
  // Values as times of a day that come once a day, or as days that come once a month.
  const unit = SKIPS[cadence];
  const first = unit === "week" ? null : levels.findIndex((level) => level.unit === unit);
  const used = unit === "week" && levels[0].cell >= 10 ? [WEEK, MONTH, YEAR] : first > 0 ? levels.slice(first) : levels;
  const rank = { hour: 4, day: 3, week: 3, month: 2, year: 1 }[used[0].unit];
  return { levels: used.map((level, n) => (n ? level : { ...level, cell: Infinity })), rank };
}

const WANTED = { day: range(1, 31), hour: range(0, 23).map((hour) => `${hour}:00`), month: range(1, 12) };
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

function range(from, to) {
  return Array.from({ length: to - from + 1 }, (_, n) => String(n + from).padStart(2, "0"));
}

/** What stands above a column: `1` of `01`, `Jan`, `14` of `14:00`. */
export function headOf(level, column) {
  if (level.unit === "month") return MONTHS[Number(column) - 1] ?? column;
  if (level.unit === "week") return column.endsWith("′") ? "" : String(column);
  return column.replace(/^0(?=\d)/, "").replace(/:00(?=′?$)/, "");
}

/** The column of a value; weeks are counted, so that those of one year stand above those of another. */
function columnOf(level, value) {
  if (level.unit !== "week") return value.slice(...level.column) || value;
  const day = (Date.parse(value.slice(0, 10)) - Date.parse(`${value.slice(0, 4)}-01-01`)) / 86_400_000;
  return String(Math.floor(day / 7) + 1).padStart(2, "0");
}

/**
 * Arrange places of a dimension: `{columns: [text], blocks: [{name, cells: Map(column -> {name, places})}]}`, newest block first.
 * An hour that comes twice in a night has a column of its own.
 */
export function arranged(level, values, places) {
  const blocks = new Map();
  for (const place of places) {
    const value = values[place];
    const name = value.slice(0, level.block);
    if (!blocks.has(name)) blocks.set(name, new Map());
    const cells = blocks.get(name);
    const part = level.cell === Infinity ? value : value.slice(0, level.cell);
    let column = columnOf(level, value);
    while (cells.has(column) && cells.get(column).name !== part) column += "′";
    if (!cells.has(column)) cells.set(column, { name: part, places: [] });
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
