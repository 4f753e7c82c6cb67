// A run at work: what holds of its batches, to be changed while they run.
import { dagPath } from "./api.js";
import { fill, h, name } from "./dom.js";
import { ago, count, plural } from "./text.js";

const PAUSED = "paused";
// As the DAG says; no limit. What the server calls them.
const [AS_DECLARED, NONE] = ["dag", "none"];
const WORDS = {
  concurrency: ["Items at once", "of each instance"],
  rate: ["Calls at most", "such as 100/m, of all instances; none for any"],
  stop_after: ["Stop after failures", "in a row; none for never"],
  tolerated_failure_percentage: ["Failures tolerated", "per cent, by the fan-in"],
};

export class Steer {
  constructor(page) {
    this.page = page;
    this.element = h("section", { class: "steer", "aria-label": "A run at work", hidden: true });
    this.told = [];
  }

  /** The run that it is about: the one that is shown, else the newest; only one that runs. */
  get run() {
    const { state, runs } = this.page;
    const run = state.run ? runs.find((one) => one.id === state.run) : runs.find((one) => one.state === "running");
    return run?.state === "running" ? run.id : null;
  }

  /** Ask what holds of each task that can be steered. */
  async look() {
    const { found, api } = this.page;
    const [run, tasks] = [this.run, found.task.steered ?? []];
    if (!run || !tasks.length) return this.show([]);
    try {
      const told = await Promise.all(tasks.map((task) => api.get(dagPath(found.dag.id, "settings"), { run, task })));
      if (run === this.run && found.task.name === this.page.found.task.name) this.show(told);
    } catch {
      this.show([]); // the page as a whole says what is wrong
    }
    return null;
  }

  show(told) {
    this.element.hidden = !told.length;
    // What somebody is typing stays; so does what hasn't changed.
    if (this.typing || JSON.stringify(told) === JSON.stringify(this.told)) return;
    this.told = told;
    fill(this.element, told.map((one) => this.form(one)));
  }

  form(told) {
    const paused = told.settings.find((one) => one.name === PAUSED)?.value;
    const inputs = told.settings.filter((one) => WORDS[one.name]).map((one) => this.input(told, one));
    const changed = told.settings.some((one) => one.by);
    const off = { disabled: !told.may, title: told.may ? undefined : "Your role may not change task instances of this DAG" };
    const button = (text, set, style) =>
      h("button", { type: "button", class: style, "data-focus": `${text} ${told.task}`, onclick: () => this.set(told, set), ...off }, text);
    return h("form", { "aria-label": `Steer ${told.task}`, onsubmit: (event) => { event.preventDefault(); this.submit(told, inputs); } },
      h("p", { class: "row" },
        h("b", {}, paused ? "Paused: " : "At work: ", name(told.task)), h("span", { class: "soft" }, "in ", name(told.run_id), ` · ${plural(told.at_work, "instance")} at work, ${count(told.waiting)} to come`),
        paused ? button("Resume", { [PAUSED]: AS_DECLARED }, "go") : button("Pause", { [PAUSED]: true }, ""),
        paused && h("span", { class: "soft small" }, said(told.settings.find((one) => one.name === PAUSED)))),
      h("div", { class: "row fields" }, inputs,
        h("button", { type: "submit", "data-focus": `apply ${told.task}`, ...off }, "Apply"),
        changed && button("All as the DAG says", Object.fromEntries(told.settings.map((one) => [one.name, AS_DECLARED])), "quiet")),
      h("p", { class: "wrong", role: "alert", hidden: true }));
  }

  input(told, one) {
    const [word, more] = WORDS[one.name];
    const id = `${told.task} ${one.name}`;
    const value = one.by ? text(one.value) : "";
    return h("label", {}, h("span", { class: "small soft" }, word),
      h("input", { name: one.name, size: 8, autocomplete: "off", spellcheck: "false", "data-focus": id, value, placeholder: text(one.declared), disabled: !told.may, title: `${more}. Empty: as the DAG says, ${text(one.declared)}${one.by ? `. ${said(one)}` : ""}`, "aria-label": `${word}, ${more}; empty for what the DAG says, ${text(one.declared)}`, oninput: () => { this.typing = true; } }));
  }

  submit(told, labels) {
    const set = {};
    for (const { name: which, value, defaultValue } of labels.map((label) => label.querySelector("input")))
      if (value.trim() !== defaultValue) set[which] = value.trim() || AS_DECLARED;
    if (Object.keys(set).length) this.set(told, set);
    else this.typing = false;
  }

  async set({ run_id: run, task }, set) {
    const { page } = this;
    try {
      const now = await page.api.post(dagPath(page.found.dag.id, "settings"), { run, task, set });
      this.typing = false;
      this.show(this.told.map((one) => (one.task === task ? now : one)));
      page.say(now.at_work ? `${plural(now.at_work, "instance")} at work ${now.at_work === 1 ? "follows" : "follow"} within seconds.` : "Instances follow from their start.", true);
    } catch (error) {
      const form = [...this.element.children].find((one) => one.getAttribute("aria-label") === `Steer ${task}`);
      const wrong = form?.querySelector(".wrong");
      if (!wrong) return;
      fill(wrong, error.message);
      wrong.hidden = false;
    }
  }
}

const text = (value) => (value === null || value === undefined ? NONE : String(value));

const said = ({ by, at }) => `by ${by}, ${ago(at)}`;
