// Which cells are chosen: by click, by rectangle (Shift, or drawn with the mouse), by key, by row.

export class Choice {
  constructor(page) {
    this.page = page;
    this.cells = new Set();
    this.anchor = null; // the corner that a rectangle begins at
    this.drawn = null; // where a rectangle is being drawn from
  }

  get size() { return this.cells.size; }
  has(cell) { return this.cells.has(cell); }

  /** Keep what is still there, after the server was asked again or another run is shown. */
  keep(found, keys) {
    this.cells = new Set(keys.map((key) => found.named(key)).filter((cell) => cell >= 0 && found.state(cell) !== "."));
    this.anchor = null;
  }

  clear() {
    this.cells.clear();
    this.anchor = null;
  }

  /** A click or Enter shows one; with Ctrl it is chosen too, with Shift all up to it. */
  pick(cell, event) {
    if (event.shiftKey && this.anchor !== null) return this.rectangle(cell, event);
    if (event.ctrlKey || event.metaKey) return this.toggle([cell], cell);
    this.cells = new Set([cell]);
    this.anchor = cell;
    return this.page.open(cell);
  }

  /** Choose these as well; if all of them are chosen already, none of them. */
  toggle(cells, anchor = this.anchor) {
    const real = this.choosable(cells);
    const all = real.every((cell) => this.cells.has(cell));
    for (const cell of real) this.cells[all ? "delete" : "add"](cell);
    this.anchor = anchor;
    this.page.chosen();
  }

  only(cells) {
    this.cells = new Set(this.choosable(cells));
    this.page.chosen();
  }

  rectangle(cell, { ctrlKey = false, metaKey = false } = {}) {
    const cells = this.choosable(this.page.found.between(this.anchor, cell));
    this.cells = new Set(ctrlKey || metaKey ? [...this.cells, ...cells] : cells);
    this.page.chosen();
  }

  /** What a filter leaves out can't be chosen by accident. */
  choosable(cells) {
    const { filter, found } = this.page;
    return cells.filter((cell) => found.state(cell) !== "." && filter.has(cell));
  }

  // -- drawn with the mouse; a finger scrolls instead
  down(cell, event) {
    if (event.button || event.pointerType !== "mouse" || event.shiftKey || event.ctrlKey || event.metaKey) return;
    this.drawn = { from: cell, moved: false };
    addEventListener("pointerup", () => setTimeout(() => { this.drawn = null; }), { once: true });
  }

  over(cell) {
    if (!this.drawn || (cell === this.drawn.from && !this.drawn.moved)) return;
    this.drawn.moved = true;
    this.anchor = this.drawn.from;
    this.rectangle(cell);
  }

  /** Whether the click that ends now only ended a rectangle. */
  get drew() { return Boolean(this.drawn?.moved); }
}
