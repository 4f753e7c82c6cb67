// The line at the top: whose partitions, the filter, matrix or list, how old it is.
import { fill, h, name } from "./dom.js";
import { isSelection } from "./filter.js";
import { clock, oneLine } from "./text.js";

const TYPED = 350; // ms without a letter, before the server is asked to evaluate a selection

export class Head {
  constructor(page) {
    this.page = page;
    this.title = h("div", { class: "row title" });
    this.input = h("input", {
      id: "filter", type: "search", size: 30, autocomplete: "off", spellcheck: "false", "aria-label": "Filter: words, a key, or a selection such as origin=EWR,JFK date=2013-01-01..2013-01-31", "aria-describedby": "wrong", title: "Words of a label or key, or a selection: origin=EWR,JFK date=2013-01-01..2013-01-31 (/)",
      oninput: () => this.typed(),
    });
    this.views = h("div", { class: "views", role: "group", "aria-label": "View" }, ["", "list"].map((view) =>
      h("button", { type: "button", "data-view": view, onclick: () => page.set({ view }) }, view ? "List" : "Matrix")));
    this.age = h("span", {});
    this.again = h("button", { type: "button", class: "quiet soft small", title: "Read again", onclick: () => page.follow.now() }, h("span", { "aria-hidden": "true" }, "⟳ "), h("span", { class: "unseen" }, "Read again, "), this.age);
    this.wrong = h("p", { id: "wrong", class: "wrong", role: "alert", hidden: true });
    this.element = h("div", {}, h("header", {}, this.title, h("span", { class: "grow" }), this.input, this.views, this.again), this.wrong);
  }

  draw() {
    const { found, state, filter } = this.page;
    const told = JSON.stringify([found.dag, found.task.name, found.tasks, state.run]);
    if (told !== this.told) fill(this.title, this.titles());
    this.told = told;
    const text = [state.select, state.q].filter(Boolean).join(" ");
    if (this.page.shadowRoot.activeElement !== this.input && this.input.value !== text) this.input.value = text;
    for (const one of this.views.children) one.setAttribute("aria-pressed", String(one.dataset.view === state.view));
    this.input.placeholder = oneLine(example(found));
    this.age.textContent = `as of ${clock(this.page.at)}`;
    this.input.setAttribute("aria-invalid", String(Boolean(filter.failed)));
    this.wrong.hidden = !filter.failed;
    if (filter.failed) this.explain(filter.failed);
  }

  titles() {
    const { found, state, fixed } = this.page;
    const run = state.run && found.runs.find((one) => one.id === state.run);
    return [
      h("h1", {}, h("a", { href: this.page.link("dag", {}) }, name(found.dag.name || found.dag.id))),
      found.tasks.length > 1 && !fixed.task
        ? h("select", { "aria-label": "Mapped task", "data-focus": "task", onchange: (event) => this.page.showTask(event.target.value) },
          found.tasks.map((one) => h("option", { value: one.name, selected: one.name === found.task.name }, one.display)))
        : h("span", { class: "soft" }, found.task.display),
      found.dag.paused && h("span", { class: "tag", title: "What is cleared or started waits until the DAG is unpaused" }, "paused"),
      state.run && h("span", { class: "soft" }, "run ", h("a", { href: this.page.link("run", { run: state.run }) }, name(state.run)), run ? `, ${run.state}${run.what ? ` · ${run.what}` : ""}` : ""),
    ];
  }

  typed() {
    const text = this.input.value.trim();
    clearTimeout(this.timer);
    if (!isSelection(text)) {
      this.page.set({ q: text, select: "" });
      return;
    }
    this.timer = setTimeout(() => this.page.set({ q: "", select: text }, { again: true }), TYPED);
  }

  /** The text of the selection, marked where it goes wrong. */
  explain({ text, error, position }) {
    const at = Math.min(position ?? text.length, text.length);
    fill(this.wrong, error, " ", h("code", {}, text.slice(0, at), h("mark", {}, text.slice(at, at + 1) || "␣"), text.slice(at + 1)));
  }
}

/** What can be written there, of this DAG's own: `LGA, or date=2013-05-01..`. */
function example({ dimensions, columns, others, size }) {
  if (!size) return "";
  const { name, values } = dimensions[columns];
  const word = others.length ? `${dimensions[others.at(-1)].values.at(-1)}, or ` : "";
  return `${word}${name}=${others.length ? `${values[Math.floor(values.length / 2)]}..` : "*"}`.slice(0, 60);
}
