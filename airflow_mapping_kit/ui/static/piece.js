// One partition: how it stands, every run that had it, every try, what went wrong, the way to each log.
import { fill, h } from "./dom.js";
import { FAILED, STATES, letterOf, sign, word } from "./states.js";
import { ago, duration } from "./text.js";

export class Piece {
  constructor(page) {
    this.page = page;
    this.element = h("section", { class: "piece", "aria-label": "Partition" });
  }

  /** Show `{cell, key, history, error}`; without a history it is being read. */
  draw() {
    const { found, piece } = this.page;
    const { cell } = piece;
    const state = found.state(cell);
    fill(this.element,
      h("div", { class: "row top" }, h("h2", {}, found.label(cell)), h("span", { class: "grow" }),
        h("button", { type: "button", class: "quiet", "aria-label": "Close", "data-focus": "close", onclick: () => this.page.close() }, "✕")),
      h("p", { class: "small soft key" }, h("code", {}, piece.key ?? found.key(cell))),
      h("p", {}, sign(state, { old: found.old(cell) && state !== "o" }), " ", h("b", {}, STATES[state]?.means ?? state), ". ", this.loaded()),
      h("div", { class: "row" }, this.actions(cell, state),
        h("button", { type: "button", "data-focus": "copy", onclick: () => this.page.copy([cell]) }, "Copy key")),
      piece.error ? h("p", { class: "warn", role: "alert" }, piece.error) : this.history());
  }

  actions(cell, state) {
    if (FAILED.includes(state)) return this.page.action("main", "failed", [cell], "Re-run it…");
    if (state === "m") return this.page.action("go", "missing", [cell], "Load it…");
    return "osth".includes(state) && this.page.action("", "chosen", [cell], "Run it again…");
  }

  loaded() {
    const { history } = this.page.piece;
    if (!history) return "";
    const good = history.find(({ tasks }) => tasks.length && tasks.every((task) => letterOf(task.state) === "o"));
    if (!good) return this.page.found.old(this.page.piece.cell) ? "" : "It was never loaded.";
    return h("span", { class: "soft" }, `Last loaded ${ago(good.tasks.at(-1).start)}.`);
  }

  history() {
    const { history } = this.page.piece;
    if (!history) return h("p", { class: "soft" }, "Reading its history…");
    if (!history.length) return h("p", { class: "soft" }, "No run has had it.");
    return h("ol", { class: "history", "aria-label": "Runs that had it, newest first" }, history.map((one) => h("li", {},
      h("div", { class: "small" }, h("a", { href: this.page.link("run", { run: one.run }) }, one.run), h("span", { class: "soft" }, one.what ? ` ${one.what}` : "")),
      one.tasks.map((task) => this.task(one, task)))));
  }

  task(run, task) {
    const state = letterOf(task.state);
    return h("div", { class: "try" }, sign(state),
      h("div", {},
        h("span", {}, [run.tasks.length > 1 && task.task, word(state), task.seconds && duration(task.seconds), task.start && ago(task.start)].filter(Boolean).join(", ")),
        " ", this.logs(run, task),
        task.error && h("pre", { class: "trace", tabindex: 0, role: "group", "aria-label": "Error" }, typeof task.error === "string" ? task.error : `${task.error.type ?? ""} ${task.error.message ?? ""}`.trim())));
  }

  /** A link for every try, where Airflow's page of an instance can be asked for one. */
  logs(run, { task, tries, start }) {
    if (!tries || !start) return "";
    const link = (attempt, text) => h("a", { href: this.page.link("log", { run: run.run, task, index: run.index, try: attempt }) }, text);
    if (tries < 2) return link(1, "log");
    if (!this.page.found.links.log.includes("{try}")) return link(tries, `logs of ${tries} tries`);
    return h("span", { class: "tries" }, "logs: ", Array.from({ length: tries }, (_, n) => [link(n + 1, `try ${n + 1}`), " "]));
  }
}
