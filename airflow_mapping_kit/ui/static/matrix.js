// The matrix: blocks of periods, newest on top; in each a row for every value of the other dimensions.
import { h, name } from "./dom.js";
import { many, one, paintMany, paintOne, told, toldOfMany } from "./cells.js";
import { headOf } from "./periods.js";
import { layout } from "./layout.js";
import { walk } from "./keyboard.js";
import { count, plural } from "./text.js";

export class Matrix {
  constructor(page) {
    this.page = page;
    this.rowPage = 0;
    this.element = h("div", {
      class: "matrix",
      onclick: (event) => this.clicked(event),
      onkeydown: (event) => this.pressed(event),
      onpointerdown: (event) => this.cellOf(event, (cell) => page.choice.down(cell, event)),
      onpointerover: (event) => this.cellOf(event, (cell) => page.choice.over(cell)),
    });
    // What is wider than its room scrolls by itself, and then its heads can't stay on top of the page.
    new ResizeObserver(() => this.fit()).observe(this.element);
    page.tip.over(this.element, (node) => {
      if (node.dataset.cell) return told(page.found, Number(node.dataset.cell));
      return node.dataset.group ? toldOfMany(page.found, this.groups[node.dataset.group]) : node.dataset.tip;
    });
  }

  draw() {
    const { found, filter, state } = this.page;
    if (!found.size) return this.element.replaceChildren(h("p", { class: "soft" }, "No run of this task has a plan yet."));
    const made = layout(found, filter, { zoom: state.zoom, page: this.rowPage });
    const shape = JSON.stringify([found.shape, state.zoom, made.level, made.rows.map((row) => row.base ?? row), made.blocks.map((block) => block.name), made.of]);
    if (shape !== this.shape) {
      this.shape = shape;
      this.build(made);
    }
    return this.paint();
  }

  paint() {
    for (const node of this.nodes) {
      if (node.dataset.cell) paintOne(node, this.page);
      else paintMany(node, this.page, this.groups[node.dataset.group]);
    }
  }

  build(made) {
    const { found, shadowRoot } = this.page;
    const focused = shadowRoot.activeElement?.dataset.cell;
    this.nodes = [];
    this.groups = [];
    this.lines = []; // for the arrow keys: elements by row and column, headings at 0
    this.facets = made.rows.some((row) => row.facet);
    const kind = made.tiles ? "tiles" : made.long ? "long" : made.level?.unit ?? "named";
    const grid = h("div", { class: `grid ${kind}`, role: "grid", "aria-multiselectable": "true", "aria-label": `Partitions of ${found.task.display}: arrows move, Space chooses, Enter opens` },
      made.tiles ? made.rows.map((cells) => this.tiles(cells)) : [this.heads(made), made.blocks.map((block) => this.block(made, block))]);
    grid.style.setProperty("--columns", made.tiles ? `repeat(${made.width}, minmax(0, max-content))` : `${this.leads()} repeat(${made.columns.length}, minmax(var(--least), var(--most)))`);
    this.element.replaceChildren(this.notes(made), h("div", { class: "wrap" }, made.rows.length ? grid : h("p", { class: "soft" }, "Nothing fits the filter.")), this.pages(made));
    const start = this.nodes.find((node) => node.dataset.cell === focused) ?? this.nodes[0];
    if (start) start.tabIndex = 0;
    this.fit();
    if (focused !== undefined) start?.focus({ preventScroll: true });
  }

  fit() {
    const wrap = this.element.querySelector(".wrap");
    if (!wrap?.firstChild) return;
    wrap.classList.remove("scrolls");
    wrap.classList.toggle("scrolls", wrap.firstChild.scrollWidth > wrap.clientWidth + 1);
  }

  leads() { return `max-content ${this.facets ? "max-content " : ""}max-content`; }

  notes({ single, level, left, hidden }) {
    const { found, state } = this.page;
    return h("div", { class: "row small soft above" },
      state.zoom && h("button", { class: "link", type: "button", "data-focus": "all", onclick: () => this.page.set({ zoom: "" }) }, `← all of ${found.names[found.columns]}`),
      state.zoom && h("b", {}, state.zoom),
      !single && `${plural(found.total, "partition")}: each cell is ${level.unit === "hour" ? "an" : "a"} ${level.unit}, in it the share of each state. Click one to look into it.`,
      left > 0 && `${plural(left, "row")} without anything that fits ${left === 1 ? "is" : "are"} left out.`,
      hidden > 0 && `Periods without anything that fits are left out.`);
  }

  heads({ level, columns, blocks, long }) {
    const { cells } = blocks[0] ?? { cells: new Map() };
    const texts = columns.map((column, n) => (long ? cells.get(column).head : level ? headOf(level, column, columns[n - 1]) : cells.get(column).name));
    const spans = []; // a year stands above all of its months
    for (const text of texts) if (long && spans.at(-1)?.text === text) spans.at(-1).width += 1; else spans.push({ text, width: 1 });
    const head = ({ text, width }) => h("span", { class: "head", role: "columnheader", title: level ? null : text, "aria-colspan": width > 1 ? width : null, style: { "grid-column": `span ${width}` } }, name(text));
    const lead = (kind, text) => h("span", { class: kind, role: "columnheader" }, text || h("span", { class: "unseen" }, kind));
    const { found } = this.page;
    return h("div", { class: "heads", role: "row" }, lead("when", ""), this.facets && lead("facet", found.others.slice(0, -1).map((n) => found.names[n]).join(" ")), lead("name", found.names[found.others.at(-1)]), spans.map(head));
  }

  block({ single, columns, rows, long }, { name: when, cells }) {
    const { found } = this.page;
    const stride = found.strides[found.columns];
    return h("div", { class: "block", role: "rowgroup", "aria-label": when || found.names[found.columns] }, rows.map((row, n) => {
      const all = [...cells.values()].flatMap(({ places }) => places.map((place) => row.base + place * stride));
      const heading = h("button", { class: "name", type: "button", tabindex: -1, "data-row": this.lines.length, "aria-label": row.name ? null : "All of this row", "data-tip": `Choose this row: ${[row.title, when].filter(Boolean).join(" ")}` }, name(row.name || (long ? "all" : "")));
      const line = [heading, ...columns.map((column) => {
        const at = cells.get(column);
        if (!at) return null;
        const some = at.places.map((place) => row.base + place * stride);
        if (single) return found.state(some[0]) === "." ? null : this.keep(one(some[0]));
        this.groups.push({ title: `${row.title} ${at.name}`.trim(), zoom: at.name, cells: some, base: row.base });
        return this.keep(many(this.groups.length - 1));
      })];
      line.cells = all;
      line.block = when;
      this.lines.push(line);
      return h("div", { class: n && rows[n - 1].facet !== row.facet ? "line turn" : "line", role: "row" },
        h("span", { class: "when", role: n === 0 && when ? "rowheader" : "presentation" }, n === 0 && when && h("button", { class: "plainly", type: "button", tabindex: -1, "data-block": this.lines.length - 1, "data-tip": `Choose all of ${when}` }, when)),
        this.facets && h("span", { class: "facet", role: "presentation" }, n === 0 || rows[n - 1].facet !== row.facet ? name(row.facet) : ""),
        h("span", { role: "rowheader" }, heading),
        line.slice(1).map((node) => node ?? h("span", { class: "c nothing", role: "gridcell" })));
    }));
  }

  tiles(cells) {
    const line = cells.map((cell) => {
      const node = this.keep(one(cell));
      node.append(name(this.page.found.label(cell)));
      return node;
    });
    line.cells = cells;
    this.lines.push([null, ...line]);
    return h("div", { class: "line", role: "row" }, line);
  }

  keep(node) {
    this.nodes.push(node);
    return node;
  }

  pages({ pages, page, per, of }) {
    if (pages < 2) return "";
    const to = (at) => () => { this.rowPage = at; this.draw(); };
    return h("nav", { class: "row small pages", "aria-label": "Pages of rows" },
      h("button", { type: "button", disabled: page === 0, onclick: to(page - 1) }, "‹ Before"),
      h("span", {}, `Rows ${count(page * per + 1)}–${count(Math.min(of, (page + 1) * per))} of ${count(of)}`),
      h("button", { type: "button", disabled: page === pages - 1, onclick: to(page + 1) }, "Next ›"));
  }

  // -- what a click and a key do
  cellOf(event, act) {
    const node = event.target.closest?.("[data-cell]");
    if (node) act(Number(node.dataset.cell));
  }

  clicked(event) {
    const node = event.target.closest("button");
    if (!node || this.page.choice.drew) return;
    if (node.dataset.cell) this.page.choice.pick(Number(node.dataset.cell), event);
    else if (node.dataset.group) this.lookInto(this.groups[node.dataset.group]);
    else if (node.dataset.row) this.choose([this.lines[node.dataset.row]], event);
    else if (node.dataset.block) this.choose(this.lines.filter((line) => line.block === this.lines[node.dataset.block].block), event);
  }

  choose(lines, event) {
    const cells = lines.flatMap((line) => line.cells);
    if (event.shiftKey || event.ctrlKey || event.metaKey) this.page.choice.toggle(cells);
    else this.page.choice.only(cells);
  }

  /** The rows of the month that was clicked begin with the row that was clicked. */
  lookInto({ zoom, base }) {
    this.rowPage = 0;
    this.page.set({ zoom });
    const { rows, pages } = layout(this.page.found, this.page.filter, { zoom, page: 0 });
    if (pages > 1 && !rows.some((row) => row.base === base)) {
      for (let page = 1; page < pages; page++) {
        if (layout(this.page.found, this.page.filter, { zoom, page }).rows.some((row) => row.base === base)) this.rowPage = page;
      }
      this.draw();
    }
    this.focus();
  }

  pressed(event) {
    const at = this.page.shadowRoot.activeElement;
    const cell = at?.dataset.cell === undefined ? null : Number(at.dataset.cell);
    const { choice } = this.page;
    if (event.key === " " && cell !== null) {
      event.preventDefault();
      return choice.toggle([cell], cell);
    }
    const next = walk(this.lines, at, event);
    if (!next) return null;
    event.preventDefault();
    for (const node of [at, next]) node.tabIndex = node === next ? 0 : -1;
    next.focus();
    next.scrollIntoView({ block: "nearest", inline: "nearest" });
    if (!event.shiftKey || next.dataset.cell === undefined) return null;
    choice.anchor ??= cell;
    return choice.anchor === null ? null : choice.rectangle(Number(next.dataset.cell));
  }

  focus(cell) {
    const node = this.nodes.find((one) => one.dataset.cell === String(cell)) ?? this.nodes[0];
    if (!node) return;
    for (const one of this.nodes) if (one.tabIndex === 0) one.tabIndex = -1;
    node.tabIndex = 0;
    node.focus();
  }
}
