// Which cells fit what was asked for: states, an error, words, a selection that the server has evaluated.
import { oneLine } from "./text.js";

/** What looks like a selection is the server's to evaluate; bare words are found here, letter by letter. */
export const isSelection = (text) => /[=!*?"]|\.\./.test(text);

export const nameOf = (error) => oneLine(`${error.type ?? ""}: ${error.message ?? ""}`).slice(0, 120);

export class Filter {
  constructor(found, { show, error, q, select }) {
    this.found = found;
    this.active = Boolean(show || error || q || select);
    const { selection } = found;
    this.failed = select && selection?.error ? selection : null;
    const asked = select && selection?.cells ? spread(selection.cells, found.size) : null;
    const group = error ? new Set(found.errors.filter((one) => nameOf(one) === error).flatMap((one) => one.cells)) : null;
    const words = q.toLowerCase().split(/\s+/).filter(Boolean);
    this.fit = new Uint8Array(found.size);
    this.count = 0;
    for (let cell = 0; cell < found.size; cell++) {
      if (found.state(cell) === ".") continue;
      if (show && !show.includes(found.state(cell))) continue;
      if (group && !group.has(cell)) continue;
      if (asked && !asked[cell]) continue;
      if (words.length && !said(found, cell, words)) continue;
      this.fit[cell] = 1;
      this.count += 1;
    }
  }

  has(cell) { return this.fit[cell] === 1; }
  get cells() { return this.found.filter((cell) => this.fit[cell]); }
}

const said = (found, cell, words) => {
  const text = `${found.label(cell)} ${found.key(cell)}`.toLowerCase();
  return words.every((word) => text.includes(word));
};

function spread(spans, size) {
  const asked = new Uint8Array(size);
  for (const [first, last] of spans) asked.fill(1, first, last + 1);
  return asked;
}
