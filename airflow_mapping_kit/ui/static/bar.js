// What can be done with what is chosen, at the foot of the page while there is a choice of several.
import { fill, h } from "./dom.js";
import { ENDED, FAILED } from "./states.js";
import { count } from "./text.js";

export class Bar {
  constructor(page) {
    this.page = page;
    this.element = h("div", { class: "foot", role: "region", "aria-label": "Chosen partitions", hidden: true });
  }

  draw() {
    const { page } = this;
    const { choice, found } = page;
    this.element.hidden = choice.size < 2;
    if (this.element.hidden) return this.element.replaceChildren();
    const cells = [...choice.cells];
    const [failed, ended, missing] = [FAILED, ENDED, "m"].map((states) => cells.filter((cell) => found.is(cell, states)));
    return fill(this.element,
      h("b", {}, `${count(cells.length)} chosen`),
      failed.length > 0 && page.action("main", "failed", failed, `Re-run ${count(failed.length)} failed…`),
      missing.length > 0 && page.action("go", "missing", missing, `Load ${count(missing.length)} missing…`),
      ended.length > failed.length && page.action("", "chosen", ended, failed.length ? `Re-run all ${count(ended.length)}…` : `Re-run these ${count(ended.length)}…`),
      h("button", { type: "button", "data-focus": "copy keys", onclick: () => page.copy(cells) }, "Copy keys"),
      h("button", { type: "button", class: "quiet", "data-focus": "none", "aria-label": "Choose nothing", onclick: () => { choice.clear(); page.chosen(); } }, "✕"));
  }
}
