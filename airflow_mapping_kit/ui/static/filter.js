// Which cells fit what was asked for: states, an error, words, a selection that the server has evaluated.
import { keyOf } from "./keys.js";
import { oneLine } from "./text.js";

/** What looks like a selection is the server's to evaluate; bare words are found here, letter by letter. */
export const isSelection = (text) => /[=!*?",]|\.\./.test(text);

export const nameOf = (error) => oneLine(`${error.type ?? ""}: ${error.message ?? ""}`).slice(0, 120);

export class Filter {
  constructor(found, { show, error, q, select }) {
    this.found = found;
    const selection = found.selection?.text === select ? found.selection : null;
    this.failed = selection?.error ? selection : null;
    const asked = selection?.cells ? spread(selection.cells, found.size) : null;
    this.active = Boolean(show || error || q || asked);
    const group = error ? new Set(found.errors.filter((one) => nameOf(one) === error).flatMap((one) => one.cells)) : null;
    const words = q.toLowerCase().split(/\s+/).filter(Boolean).map((word) => saying(found, word));
    this.fit = new Uint8Array(found.size);
    this.count = 0;
    for (let cell = 0; cell < found.size; cell++) {
      if (found.state(cell) === ".") continue;
      if (show && !show.includes(found.state(cell))) continue;
      if (group && !group.has(cell)) continue;
      if (asked && !asked[cell]) continue;
      if (!words.every((says) => says(cell))) continue;
      this.fit[cell] = 1;
      this.count += 1;
    }
  }

  has(cell) { return this.fit[cell] === 1; }
  get cells() { return this.found.filter((cell) => this.fit[cell]); }
}

/** Whether a cell's label or key has a word, which is in one value of it: asked once a value, not once a cell. */
function saying(found, word) {
  const has = found.dimensions.map(({ name, values }) =>
    Uint8Array.from(values, (value) => `${value} ${keyOf([name], [value])}`.toLowerCase().includes(word)));
  return (cell) => has.some((one, n) => one[found.place(cell, n)]);
}

function spread(spans, size) {
  const asked = new Uint8Array(size);
  for (const [first, last] of spans) asked.fill(1, first, last + 1);
  return asked;
}
