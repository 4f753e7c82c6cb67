// What is drawn of the matrix: which rows, which columns, and whether a cell is one partition or a month of them.
import { arranged, formOf } from "./periods.js";

/** So many buttons are drawn at once; beyond, cells hold more or rows come by pages. */
const CELLS = 4000;
const ROWS = 200;
const ZOOMED_ROWS = 5;
// Many rows of few months stand side by side, a line a row.
const LONG_ROWS = 12;
const LONG_CELLS = 160;
// Under a filter, what has nothing that fits is left out where there is much.
const FEW_ROWS = 6;
const FEW_BLOCKS = 14;

/**
 * `{level, single, long, columns, blocks, rows, pages, page, left}`.
 * `rows` are `{facet, name, base}`: the row's cells are `base + place * stride` of the dimension from left to right.
 */
export function layout(found, filter, { zoom, page }) {
  const n = found.columns;
  const { values } = found.dimensions[n];
  const form = formOf(found.dimensions[n]);
  const all = rowsOf(found);
  const { busyRows, busyPlaces } = busy(found, filter, all);
  const rows = filter.active && all.length > FEW_ROWS ? all.filter((_, at) => busyRows[at]) : all;
  let places = values.map((_, place) => place);
  if (form && zoom) places = places.filter((place) => values[place].startsWith(zoom));
  if (form) {
    const whole = places.length;
    if (filter.active) places = kept(form.levels[0], values, places, busyPlaces);
    // Who has looked into a month wants its days: there rows come by pages sooner than days in one cell.
    const lines = zoom ? Math.min(rows.length, ZOOMED_ROWS) : Math.min(rows.length, ROWS);
    const level = form.levels.find((one) => (lines || 1) * groups(one, values, places) <= CELLS) ?? form.levels.at(-1);
    const made = arranged(level, values, places);
    const single = level === form.levels[0];
    const long = !single && level.block > 0 && rows.length > LONG_ROWS && groups(level, values, places) <= LONG_CELLS;
    const per = Math.min(ROWS, Math.max(ZOOMED_ROWS, Math.floor(CELLS / groups(level, values, places))));
    return { level, single, long, ...(long ? inOneLine(made, level) : made), ...paged(rows, page, per), left: all.length - rows.length, hidden: whole - places.length };
  }
  if (!found.others.length) return tiles(found, filter, page);
  const cells = new Map(places.map((place) => [String(place).padStart(6, "0"), { name: values[place], places: [place] }]));
  const per = Math.max(10, Math.floor(CELLS / Math.max(1, places.length)));
  return { level: null, single: true, columns: [...cells.keys()], blocks: [{ name: "", cells }], ...paged(rows, page, Math.min(ROWS, per)), left: all.length - rows.length, hidden: 0 };
}

/** One dimension of names: they stand in the cells, as many side by side as they are short. */
function tiles(found, filter, page) {
  const cells = filter.active && found.size > FEW_ROWS ? filter.cells : found.filter(() => true);
  const longest = Math.max(...cells.slice(0, CELLS).map((cell) => found.label(cell).length), 1);
  const width = Math.max(1, Math.min(8, Math.floor(110 / (longest + 5))));
  const lines = Array.from({ length: Math.ceil(cells.length / width) }, (_, n) => cells.slice(n * width, (n + 1) * width));
  return { tiles: true, width, single: true, level: null, blocks: [], ...paged(lines, page, ROWS), left: found.total - cells.length, hidden: 0 };
}

function rowsOf(found) {
  let rows = [{ facet: "", name: "", base: 0, title: "" }];
  for (const [at, n] of found.others.entries()) {
    const last = at === found.others.length - 1;
    rows = rows.flatMap((row) => found.dimensions[n].values.map((value, place) => ({
      facet: last ? row.facet : [row.facet, value].filter(Boolean).join(" "),
      name: last ? value : "",
      title: [row.title, value].filter(Boolean).join(" "),
      base: row.base + place * found.strides[n],
    })));
  }
  return rows;
}

function busy(found, filter, rows) {
  const stride = found.strides[found.columns];
  const length = found.dimensions[found.columns].values.length;
  const busyRows = new Uint8Array(rows.length);
  const busyPlaces = new Uint8Array(length);
  if (filter.active) {
    for (const [at, { base }] of rows.entries()) {
      for (let place = 0; place < length; place++) {
        if (filter.fit[base + place * stride]) busyRows[at] = busyPlaces[place] = 1;
      }
    }
  }
  return { busyRows, busyPlaces };
}

function kept(level, values, places, busyPlaces) {
  const names = new Set(places.map((place) => values[place].slice(0, level.block)));
  if (names.size <= FEW_BLOCKS) return places;
  const busyNames = new Set(places.filter((place) => busyPlaces[place]).map((place) => values[place].slice(0, level.block)));
  return places.filter((place) => busyNames.has(values[place].slice(0, level.block)));
}

const groups = (level, values, places) =>
  level.cell === Infinity ? places.length : new Set(places.map((place) => values[place].slice(0, level.cell))).size;

/** Years of months side by side: one line a row, oldest left. */
function inOneLine({ blocks }, level) {
  const cells = new Map();
  for (const { cells: some } of [...blocks].reverse()) {
    for (const [, cell] of [...some].sort(([a], [b]) => (a < b ? -1 : 1))) cells.set(cell.name, { ...cell, head: cell.name.slice(0, level.block) });
  }
  return { columns: [...cells.keys()], blocks: [{ name: "", cells }] };
}

function paged(rows, page, per) {
  const pages = Math.max(1, Math.ceil(rows.length / per));
  const at = Math.min(page, pages - 1);
  return { rows: rows.slice(at * per, (at + 1) * per), pages, page: at, per, of: rows.length };
}
