// On top: how it stands, in a sentence, what can be done about it, and the states to filter by.
import { fill, h } from "./dom.js";
import { FAILED, STATES, sign, sum, word } from "./states.js";
import { count, plural } from "./text.js";

/** The sentence, as a list of text and elements. */
export function sentence(found, { run }) {
  const { tally, total } = found;
  const [thing, things] = found.things(run);
  if (!total) return ["Nothing has been mapped here yet."];
  const [open, moving, healed] = [sum(tally, `${FAILED}m`), sum(tally, "wq"), sum(tally, "h")];
  const said = open
    ? [h("b", {}, `${count(open)} of ${count(total)}`), ` ${things} ${open === 1 ? "is" : "are"} not loaded`, older(found)]
    : moving ? ["Nothing failed, nothing is missing"]
      : [h("b", {}, total === 1 ? `The one ${thing} is loaded` : `All ${plural(total, thing, things)} are ${tally.s ? "loaded or skipped" : "loaded"}`)];
  if (healed) said.push(`; ${count(healed)} that failed here ${healed === 1 ? "was" : "were"} loaded by a later run`);
  const soft = [moving && `${count(moving)} at work or waiting`, tally.t && `${count(tally.t)} stale`].filter(Boolean);
  if (soft.length) said.push(h("span", { class: "soft" }, ` · ${soft.join(" · ")}`));
  return said;
}

/** Of how many of those that failed there are older data. */
function older({ failed, cells }) {
  const n = failed.filter((cell) => cells[cell] !== cells[cell].toLowerCase()).length;
  return n > 0 && `; of ${n === failed.length && n > 1 ? "all that failed" : count(n)} there are older data`;
}

export class Sentence {
  constructor(page) {
    this.page = page;
    this.words = h("div", { class: "words" });
    this.chips = h("div", { class: "chips", role: "group", "aria-label": "States" });
    this.element = h("section", { "aria-label": "How it stands" }, this.words, this.chips);
  }

  draw() {
    const { page } = this;
    const { found } = page;
    const missing = sum(found.tally, "m");
    const stale = sum(found.tally, "t");
    const told = `${page.state.run} ${JSON.stringify(found.tally)} ${found.total}`;
    fill(this.words,
      h("p", { class: "sentence" }, sentence(found, page.state)),
      h("div", { class: "row" },
        found.failed.length > 0 && page.action("main", "failed", page.state.run ? found.failed : null, `Re-run ${count(found.failed.length)} failed…`),
        missing > 0 && page.action(found.failed.length ? "" : "go", "missing", null, `Load ${count(missing)} missing…`),
        stale > 0 && page.action("", "chosen", found.of("t"), `Re-run ${count(stale)} stale…`)));
    if (this.told && this.told !== told) page.say(this.words.querySelector(".sentence").textContent);
    this.told = told;
    this.drawChips();
  }

  drawChips() {
    const { found, filter, state } = this.page;
    const toggle = (one) => () => this.page.set({ show: state.show.includes(one) ? state.show.replace(one, "") : state.show + one });
    fill(this.chips,
      Object.keys(STATES).filter((one) => found.tally[one]).map((one) =>
        h("button", { class: "chip", type: "button", "data-focus": `chip ${one}`, "aria-pressed": String(state.show.includes(one)), title: STATES[one].means, onclick: toggle(one) },
          sign(one), `${word(one)} ${count(found.tally[one])}`)),
      [...found.cells].some((letter) => letter !== letter.toLowerCase() && letter !== "O") &&
        h("span", { class: "small soft legend" }, sign("f", { old: true }), "older data are there"),
      filter.active && h("span", { class: "shown" },
        state.error && h("span", { class: "tag" }, state.error.slice(0, 60)),
        h("span", {}, `${count(filter.count)} of ${count(found.total)} shown`),
        filter.count > 0 && h("button", { class: "link", type: "button", "data-focus": "choose", onclick: () => this.page.choice.only(filter.cells) }, "choose these"),
        h("button", { class: "link", type: "button", "data-focus": "all", onclick: () => this.page.unfilter() }, "show all")));
  }
}
