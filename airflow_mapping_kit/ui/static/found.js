// What the server found: a letter for each cell of a product of dimensions, the last one fastest.
import { formOf } from "./periods.js";
import { keyOf, parsed } from "./keys.js";
import { FAILED, sum, tally } from "./states.js";

export class Found {
  constructor(answer) {
    Object.assign(this, answer); // dag, task, tasks, can, links, dimensions, cells, errors, runs, notes, selection, run
    this.size = this.cells.length;
    this.lower = this.cells.toLowerCase();
    this.tally = tally(this.counts);
    this.strides = [];
    let stride = 1;
    for (let n = this.dimensions.length - 1; n >= 0; n--) {
      this.strides[n] = stride;
      stride *= this.dimensions[n].values.length;
    }
    this.names = this.dimensions.map((one) => one.name);
    this.places = this.dimensions.map((one) => new Map(one.values.map((value, place) => [value, place])));
    this.columns = columnsOf(this.dimensions); // the dimension from left to right
    // Few values first: they become the headings of what has many.
    this.others = this.names.map((_, n) => n).filter((n) => n !== this.columns)
      .sort((a, b) => this.dimensions[a].values.length - this.dimensions[b].values.length);
    this.shape = shapeOf(this.dimensions);
    this.byCell = new Map(this.errors.flatMap((error) => error.cells.map((cell) => [cell, error])));
  }

  /** How many cells are partitions. */
  get total() { return sum(this.tally); }
  /** What they are called, one and many: of a run with too many items its batches stand for them. */
  things(run) {
    const what = this.task.batched && this.names.join("/") === "batch" ? "batch" : run ? "piece" : "partition";
    return [what, what === "batch" ? "batches" : `${what}s`];
  }
  state(cell) { return this.lower[cell]; }
  old(cell) { return this.cells[cell] !== this.lower[cell]; }
  is(cell, states) { return states.includes(this.lower[cell]); }
  place(cell, n) { return Math.floor(cell / this.strides[n]) % this.dimensions[n].values.length; }
  values(cell) { return this.dimensions.map(({ values }, n) => values[this.place(cell, n)]); }
  value(cell, n) { return this.dimensions[n].values[this.place(cell, n)]; }
  key(cell) { return keyOf(this.names, this.values(cell)); }
  error(cell) { return this.byCell.get(cell); }

  /** `LGA 2013-05-20`: what changes from column to column comes last. */
  label(cell) {
    return [...this.others, this.columns].map((n) => this.value(cell, n)).join(" ");
  }

  /** What the newest run that had it says: `{run, index, tries, seconds, task}`, or `null` where that isn't told. */
  attempt(cell) {
    const found = this.attempts[cell];
    if (!found) return null;
    const [run, index, tries, seconds, task] = found;
    return { run: this.runs[run], index, tries, seconds, task };
  }

  /** The cells that a test passes, those of no partition left out. */
  filter(test) {
    const cells = [];
    for (let cell = 0; cell < this.size; cell++) if (this.lower[cell] !== "." && test(cell)) cells.push(cell);
    return cells;
  }

  of(states) { return this.filter((cell) => states.includes(this.lower[cell])); }
  get failed() { return (this.failedCells ??= this.of(FAILED)); }

  /** The cell that a key names, or -1. */
  named(key) {
    const said = parsed(key);
    if (!said || !this.size) return -1;
    let cell = 0;
    for (const [n, name] of this.names.entries()) {
      const place = this.places[n].get(said[name]);
      if (place === undefined) return -1;
      cell += place * this.strides[n];
    }
    return cell;
  }

  /** The cell of an instance, by its map index; -1 where that isn't told. */
  atIndex(index) {
    return Number(Object.entries(this.attempts).find(([, [, at]]) => String(at) === index)?.[0] ?? -1);
  }

  /** Where cells are: `date: 2013-05-19 … 2013-05-31 · origin: LGA`. */
  where(cells, most = 3) {
    return this.dimensions.map(({ name, values }, n) => {
      const places = [...new Set(cells.map((cell) => this.place(cell, n)))].sort((a, b) => a - b);
      if (places.length === values.length && places.length > 1) return `${name}: all`;
      const spans = [];
      for (const place of places) {
        if (n === this.columns && spans.at(-1)?.[1] === place - 1) spans.at(-1)[1] = place;
        else spans.push([place, place]);
      }
      const said = spans.slice(0, most).map((span) => [...new Set(span)].map((place) => cut(values[place])).join(" … "));
      return `${name}: ${said.join(", ")}${spans.length > most ? ` and ${spans.length - most} more` : ""}`;
    }).join(" · ");
  }

  /** The cells of the rectangle that two cells are corners of, in every dimension. */
  between(a, b) {
    let cells = [0];
    for (const [n, stride] of this.strides.entries()) {
      const [from, to] = [this.place(a, n), this.place(b, n)].sort((p, q) => p - q);
      cells = cells.flatMap((cell) => Array.from({ length: to - from + 1 }, (_, i) => cell + (from + i) * stride));
    }
    return cells.filter((cell) => this.lower[cell] !== ".");
  }
}

let last = { text: "" };

/** A number that differs from that of the answer before where the dimensions do. */
function shapeOf(dimensions) {
  const text = JSON.stringify(dimensions);
  if (text !== last.text) last = { text, number: (last.number ?? 0) + 1 };
  return last.number;
}

const cut = (text) => (text.length > 60 ? `${text.slice(0, 59)}…` : text);

/** The dimension of periods, else the one with the fewest values: names stand beneath each other, not side by side. */
function columnsOf(dimensions) {
  const forms = dimensions.map(formOf);
  const finest = Math.max(...forms.map((form) => form?.rank ?? -1));
  if (finest >= 0) return forms.findIndex((form) => form?.rank === finest);
  let best = 0;
  for (const [n, { values }] of dimensions.entries()) {
    const least = dimensions[best].values.length;
    if (values.length > 1 && (least < 2 || values.length < least)) best = n;
  }
  return best;
}
