// All DAGs that have partitions, worst first.
import { fill, h, name } from "./dom.js";
import { FAILED, STATES, sign, sum, tally, word } from "./states.js";
import { ago, count, plural } from "./text.js";

export class Overview {
  constructor(page) {
    this.page = page;
    this.asked = "";
    this.input = h("input", { type: "search", placeholder: "Filter DAGs", "aria-label": "Filter DAGs", oninput: () => { this.asked = this.input.value.toLowerCase(); this.draw(); } });
    this.body = h("div", {});
    this.element = h("div", {}, h("header", {}, h("h1", {}, "Partitions"), h("span", { class: "soft" }, "of all DAGs with mapped tasks, worst first"), h("span", { class: "grow" }), this.input), this.page.trouble, this.body);
  }

  /** Returns whether some are still being reckoned. */
  async read() {
    const answer = await this.page.api.get("/dags");
    if (answer !== this.answer) {
      this.answer = answer;
      this.draw();
    }
    return answer.pending > 0 || answer.dags.some((dag) => dag.counts === null);
  }

  draw() {
    if (!this.answer) return;
    const { dags, pending } = this.answer;
    const shown = dags.filter((dag) => `${dag.name} ${dag.id}`.toLowerCase().includes(this.asked));
    fill(this.body,
      !dags.length && h("p", { class: "soft" }, "No DAG that you may see maps over what another task gave it, or none has run yet."),
      dags.length > 0 && h("div", { class: "wrap", tabindex: 0, role: "region", "aria-label": "DAGs" }, h("table", { class: "overview" },
        h("thead", {}, h("tr", {}, ["DAG", "Not loaded", "Partitions", "", "Newest"].map((title) => h("th", { scope: "col" }, title || h("span", { class: "unseen" }, "States"))))),
        h("tbody", {}, shown.map((dag) => this.row(dag))))),
      pending > 0 && h("p", { class: "soft small" }, `${plural(pending, "DAG")} still to be looked at…`));
  }

  row(dag) {
    const counts = dag.counts && tally(dag.counts);
    const open = counts ? sum(counts, `${FAILED}m`) : 0;
    return h("tr", {},
      h("th", { scope: "row" }, h("a", { href: this.addressOf(dag), "data-focus": dag.id }, name(dag.name || dag.id)), dag.paused && h("span", { class: "tag" }, "paused"), dag.tasks > 1 && h("span", { class: "small soft" }, ` ${dag.tasks} mapped tasks`)),
      h("td", { class: "number" }, dag.trouble ? "?" : counts ? (open ? h("b", {}, count(open)) : "0") : "…"),
      h("td", { class: "number" }, counts && !dag.trouble ? count(dag.partitions) : ""),
      h("td", {}, dag.trouble && h("span", { class: "small" }, name(dag.trouble)), counts && h("div", { class: "share", "aria-hidden": "true" }, Object.keys(STATES).filter((state) => counts[state]).map((state) => h("span", { "data-s": state, style: { "flex-grow": String(counts[state]) } }))),
        counts && h("div", { class: "small soft states" }, Object.keys(STATES).filter((state) => counts[state]).map((state) => h("span", {}, sign(state), `${count(counts[state])} ${word(state)}`)))),
      h("td", { class: "small soft" }, dag.newest ? ago(dag.newest) : ""));
  }

  /** Returns where the page of a DAG is: that of the mapped task which the numbers are of. */
  addressOf(dag) {
    const page = this.page.pageOf(dag.id);
    return dag.tasks > 1 && dag.task ? `${page}?task=${encodeURIComponent(dag.task)}` : page;
  }
}
