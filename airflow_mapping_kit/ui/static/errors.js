// What went wrong, the same error once, with where it is; and what the page can't know.
import { fill, h } from "./dom.js";
import { nameOf } from "./filter.js";
import { FAILED } from "./states.js";
import { count } from "./text.js";

export class Errors {
  constructor(page) {
    this.page = page;
    this.element = h("section", { "aria-label": "What went wrong" });
  }

  draw() {
    const { found, state, runs } = this.page;
    const failed = found.failed.length > 0;
    const without = (state.run ? runs.filter((run) => run.id === state.run) : runs).filter((run) => run.unread && run.state === "failed").slice(0, 5);
    fill(this.element,
      found.errors.length > 0 && h("h2", {}, "What went wrong"),
      [...found.errors].sort((a, b) => b.cells.length - a.cells.length).slice(0, 50).map((error, n) => this.group(error, n)),
      failed && !found.can.errors && h("p", { class: "soft" }, "Your role may not read XComs, where errors are kept."),
      failed && found.can.errors && !found.task.collected && h("p", { class: "soft" }, `Errors are kept where a fan-in follows: add collect(${found.task.name}).`),
      without.length > 0 && [h("h2", {}, "Runs without pieces"), without.map((run) => h("p", { class: "small" }, h("a", { href: this.page.link("run", { run: run.id }) }, run.id), h("br"), h("span", { class: "soft" }, [run.what, run.unread].filter(Boolean).join(": "))))],
      found.notes.length > 0 && [h("h2", {}, "What this page can't know"), h("ul", { class: "notes small soft" }, found.notes.map((note) => h("li", {}, note)))],
      h("p", { class: "soft small hint" }, "A click shows a partition, Shift-click chooses a rectangle. ", h("button", { class: "link", type: "button", "data-focus": "keys", onclick: () => this.page.showKeys() }, "All keys")));
  }

  group(error, n) {
    const { page } = this;
    const cells = error.cells.filter((cell) => page.found.is(cell, FAILED));
    const name = nameOf(error);
    const shown = page.state.error === name;
    return h("article", { class: "group" },
      h("h3", {}, `${count(error.n ?? error.cells.length)} × ${error.type || "killed, or without an error"}`),
      h("p", { class: "message", title: error.message }, error.message),
      h("p", { class: "small soft" }, page.found.where(error.cells)),
      h("div", { class: "row" },
        h("button", { type: "button", "data-focus": `show ${n}`, "aria-pressed": String(shown), onclick: () => page.set({ error: shown ? "" : name }) }, "Show"),
        cells.length > 0 && page.action("", "failed", cells, `Re-run ${count(cells.length)}…`)));
  }
}
