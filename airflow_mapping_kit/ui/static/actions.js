// The buttons that run something: each first shows what that would be.
import { h } from "./dom.js";
import { ENDED, FAILED } from "./states.js";

const MANY = 5_000;

export class Actions {
  constructor(page) {
    this.page = page;
  }

  /** A button for `what` (`failed`, `chosen` or `missing`) of some cells, or of all where they are `null`. */
  button(style, what, cells, text) {
    const right = what === "missing" ? "start" : "clear";
    const may = this.page.found.can[right];
    return h("button", {
      class: style, type: "button", disabled: !may, "data-focus": `${what} ${text}`, onclick: () => this.ask(what, cells),
      title: may ? "Shows first what will run" : `Your role may not ${right === "clear" ? "clear task instances" : "trigger runs"} of this DAG`,
    }, text);
  }

  ask(what, cells) {
    const { found, state } = this.page;
    const run = what === "missing" ? undefined : state.run || undefined;
    const body = { what, task: found.task.name, run };
    if (cells && this.areTheSelection(what, cells)) body.select = state.select;
    else if (cells) body.pieces = cells.map((cell) => found.values(cell));
    this.page.preview.open(body);
  }

  /** What is chosen, else what failed. */
  rerun() {
    const { choice, found, state } = this.page;
    const cells = choice.size ? [...choice.cells].filter((cell) => found.is(cell, ENDED)) : found.failed;
    if (!found.can.clear || !cells.length) return;
    this.ask(cells.every((cell) => found.is(cell, FAILED)) ? "failed" : "chosen", choice.size || state.run ? cells : null);
  }

  load() {
    if (this.page.found.can.start && this.page.found.tally.m) this.ask("missing", null);
  }

  /** Whether many cells are all that a selection has of their kind: a line says it then, no server takes megabytes. */
  areTheSelection(what, cells) {
    const { filter, found, state: { select, show, error, q } } = this.page;
    if (cells.length < MANY || !select || show || error || q || filter.failed) return false;
    const states = { failed: FAILED, missing: "m", chosen: ENDED }[what];
    return cells.length === filter.cells.filter((cell) => found.is(cell, states)).length;
  }
}
