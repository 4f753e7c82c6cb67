// The partitions as a list, worst first: what the matrix shows, in words.
import { fill, h, name } from "./dom.js";
import { MOVING, STATES, sign, word } from "./states.js";
import { count, duration, firstLine } from "./text.js";

const PAGE = 200;
const ORDER = Object.keys(STATES).join("");

export class List {
  constructor(page) {
    this.page = page;
    this.at = 0;
    this.element = h("div", { class: "list" });
  }

  draw() {
    const { found, filter } = this.page;
    if (this.filter !== filter) {
      this.filter = filter;
      // Newest first among those of the same state.
      this.cells = filter.cells.sort((a, b) => ORDER.indexOf(found.state(a)) - ORDER.indexOf(found.state(b))
        || found.place(b, found.columns) - found.place(a, found.columns) || a - b);
    }
    this.at = Math.min(this.at, Math.max(0, Math.ceil(this.cells.length / PAGE) - 1));
    const cells = this.cells.slice(this.at * PAGE, (this.at + 1) * PAGE);
    fill(this.element, cells.length ? h("div", { class: "wrap", tabindex: 0, role: "region", "aria-label": "List of partitions" },
      h("table", {},
        h("thead", {}, h("tr", {}, ["", "Partition", "State", "Tries", "Took", "Run", "Error"].map((title) => h("th", { scope: "col" }, title || h("span", { class: "unseen" }, "Chosen"))))),
        h("tbody", {}, cells.map((cell) => this.row(cell))))) : h("p", { class: "soft" }, "Nothing fits the filter."),
    this.pages());
  }

  row(cell) {
    const { choice, found } = this.page;
    const at = found.attempt(cell);
    const error = found.error(cell);
    return h("tr", { class: choice.has(cell) ? "on" : "" },
      h("td", {}, h("input", { type: "checkbox", "data-focus": `choose ${cell}`, "aria-label": `Choose ${found.label(cell)}`, checked: choice.has(cell), onclick: (event) => (event.shiftKey && choice.anchor !== null ? choice.rectangle(cell) : choice.toggle([cell], cell)) })),
      h("td", { class: "label" }, h("button", { class: "link", type: "button", "data-focus": `cell ${cell}`, onclick: (event) => choice.pick(cell, event) }, name(found.label(cell)))),
      h("td", { class: "state" }, sign(found.state(cell), { old: found.old(cell) && found.state(cell) !== "o" }), " ", word(found.state(cell))),
      h("td", { class: "number" }, at?.tries ? count(at.tries) : ""),
      h("td", { class: "number" }, at?.seconds && !MOVING.test(found.state(cell)) ? duration(at.seconds) : ""),
      h("td", { class: "small" }, at?.run ? h("a", { href: this.page.link("run", { run: at.run.id }) }, at.run.id) : "", at?.run && at.index >= 0 && at.tries
        ? [" ", h("a", { href: this.page.link("log", { run: at.run.id, task: at.task, index: at.index, try: at.tries }) }, "log")] : ""),
      h("td", { class: "small" }, error ? `${error.type ?? ""} ${firstLine(error.message)}`.trim() : ""));
  }

  pages() {
    if (this.cells.length <= PAGE) return "";
    const to = (at) => () => { this.at = at; this.draw(); };
    return h("nav", { class: "row small pages", "aria-label": "Pages of the list" },
      h("button", { type: "button", "data-focus": "before", disabled: this.at === 0, onclick: to(this.at - 1) }, "‹ Before"),
      h("span", {}, `${count(this.at * PAGE + 1)}–${count(Math.min(this.cells.length, (this.at + 1) * PAGE))} of ${count(this.cells.length)}`),
      h("button", { type: "button", "data-focus": "next", disabled: (this.at + 1) * PAGE >= this.cells.length, onclick: to(this.at + 1) }, "Next ›"));
  }
}
