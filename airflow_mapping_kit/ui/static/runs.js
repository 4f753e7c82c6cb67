// The runs as a strip of bars: what became of each one's pieces. A click shows that run alone.
import { fill, h } from "./dom.js";
import { STATES, sum, tally, word } from "./states.js";
import { ago, count, plural } from "./text.js";

const MOST = 120;

export class Runs {
  constructor(page) {
    this.page = page;
    this.element = h("section", { class: "runs", "aria-label": "Runs", onkeydown: (event) => this.pressed(event) });
    this.texts = new WeakMap();
    page.tip.over(this.element, (node) => this.texts.get(node));
  }

  draw() {
    const { page } = this;
    const runs = page.runs.slice(0, MOST).reverse();
    const more = page.runs.length - runs.length;
    const scrolled = this.bars ? this.bars.scrollLeft : Infinity;
    this.bars = h("div", { class: "bars", role: "group", "aria-label": "Runs, oldest first" }, runs.map((run) => this.bar(run)));
    fill(this.element,
      h("span", { class: "caption soft small" }, page.state.run && !page.fixed.run
        ? h("button", { class: "link", type: "button", "data-focus": "all runs", onclick: () => page.showRun("") }, "← all runs")
        : page.fixed.run ? "This run among" : "", ` ${plural(page.runs.length, "run")}${more > 0 ? `, the newest ${MOST}` : ""}`),
      this.bars);
    this.bars.scrollLeft = scrolled === Infinity ? this.bars.scrollWidth : scrolled;
    const buttons = [...this.bars.children];
    const stop = buttons.find((one) => one === this.page.shadowRoot.activeElement || one.getAttribute("aria-pressed") === "true") ?? buttons.at(-1);
    if (stop) stop.tabIndex = 0;
  }

  bar(run) {
    const counts = tally(run.counts);
    const said = Object.keys(STATES).filter((state) => counts[state]).map((state) => `${count(counts[state])} ${word(state)}`).join(", ");
    const text = [`${run.id}: ${run.state}${run.start ? `, ${ago(run.start)}` : ""}`, run.what, said || run.unread].filter(Boolean).join("\n");
    const pressed = run.id === this.page.state.run;
    const node = h("button", {
      type: "button", class: `bar${sum(counts) ? "" : run.state === "failed" ? " unread" : " empty"}`, tabindex: -1, "data-focus": `run ${run.id}`, "aria-label": text, "aria-pressed": String(pressed),
      onclick: () => this.page.showRun(pressed ? "" : run.id),
    }, Object.keys(STATES).filter((state) => counts[state]).map((state) => h("span", { "data-s": state, style: { "flex-grow": String(counts[state]) } })));
    this.texts.set(node, text);
    return node;
  }

  pressed(event) {
    const at = this.page.shadowRoot.activeElement;
    const next = { ArrowLeft: at?.previousElementSibling, ArrowRight: at?.nextElementSibling, Home: this.bars.firstElementChild, End: this.bars.lastElementChild }[event.key];
    if (!next || at.parentElement !== this.bars) return;
    event.preventDefault();
    at.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
}
