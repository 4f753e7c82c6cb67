// <mapping-kit-partitions>: the page of partitions, the same on Airflow 2 and 3. No framework, nothing from elsewhere.
//
// Attributes: `api` root of the JSON, `base` of Airflow's own pages, `own` address of a DAG's page (`{dag}` in it),
// `airflow` 2 or 3, `csrf` token of Airflow 2, `alone` where no page of Airflow's is around it;
// `dag`, `run`, `task`, `index` say what is shown. Without `dag` all DAGs are.
import { Actions } from "./actions.js";
import * as address from "./address.js";
import { Api, dagPath } from "./api.js";
import { Bar } from "./bar.js";
import { Choice } from "./choice.js";
import { fill, h } from "./dom.js";
import { Errors } from "./errors.js";
import { Filter } from "./filter.js";
import { Follow } from "./follow.js";
import { Found } from "./found.js";
import { Head } from "./head.js";
import { keysDialog, onKeys } from "./keyboard.js";
import { List } from "./list.js";
import { Matrix } from "./matrix.js";
import { Overview } from "./overview.js";
import { Piece } from "./piece.js";
import { Preview } from "./preview.js";
import { Runs } from "./runs.js";
import { Sentence } from "./sentence.js";
import { FAILED, MOVING } from "./states.js";
import { Steer } from "./steer.js";
import * as theme from "./theme.js";
import { Tip } from "./tip.js";
import { Trouble } from "./trouble.js";
import { Voice } from "./voice.js";
import * as width from "./width.js";

class PartitionsElement extends HTMLElement {
  static observedAttributes = ["dag", "run", "task", "index"];

  connectedCallback() {
    if (this.hasAttribute("alone")) document.body.style.setProperty("margin", "0");
    this.ends = [theme.follow(this)];
    const moved = () => this.moved();
    addEventListener("popstate", moved);
    this.ends.push(() => removeEventListener("popstate", moved));
    this.ends.push(onKeys(this, this.acts()));
    this.ends.push(width.follow(this));
    this.begin();
  }

  disconnectedCallback() {
    this.follow?.stop();
    for (const end of this.ends) end();
  }

  /** Airflow 3 goes from DAG to DAG with the same element. */
  attributeChangedCallback(_, before, after) {
    if (this.isConnected && this.follow && before !== after) queueMicrotask(() => this.isConnected && this.begin());
  }

  begin() {
    this.follow?.stop();
    const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
    this.base = this.getAttribute("base") ?? "/";
    this.fixed = { task: this.getAttribute("task"), run: this.getAttribute("run") };
    this.api = new Api(this.getAttribute("api"), this.getAttribute("csrf"));
    this.state = address.read(this.fixed);
    Object.assign(this, { found: null, answer: null, allRuns: null, at: null, piece: null, filter: null });
    this.tip = new Tip();
    this.choice = new Choice(this);
    this.troubles = new Trouble(this);
    this.trouble = this.troubles.element;
    this.voice = new Voice();
    this.preview = new Preview(this);
    this.actions = new Actions(this);
    const dag = this.getAttribute("dag");
    this.overview = dag ? null : new Overview(this);
    this.parts = dag ? { head: new Head(this), sentence: new Sentence(this), steer: new Steer(this), runs: new Runs(this), matrix: new Matrix(this), list: new List(this), errors: new Errors(this), bar: new Bar(this) } : {};
    this.pieces = new Piece(this);
    this.side = h("aside", {});
    this.body = h("div", { class: "body" });
    const reading = h("p", { class: "soft reading" }, "Reading…");
    const css = h("link", { rel: "stylesheet", href: new URL("partitions.css", import.meta.url).href });
    this.main = h("div", { class: "page" }, this.overview?.element ?? [this.trouble, reading]);
    const parts = [this.main, this.preview.element, this.tip.element, ...this.voice.elements];
    root.replaceChildren(css, ...parts);
    this.follow = new Follow(() => (dag ? this.read(dag) : this.overviewRead()));
    this.follow.start();
  }

  // -- what the server knows
  async read(dag) {
    const { task, run, select } = this.state;
    const asked = (this.asking = { task, run, select });
    try {
      const answer = await this.api.get(dagPath(dag, "partitions"), { task, run, select });
      // In the view of one run the others are still there to go to.
      if (!run) this.allRuns = answer.runs;
      else if (!this.allRuns && !this.fixed.run && answer.runs.length < 2) this.allRuns = (await this.api.get(dagPath(dag, "partitions"), { task })).runs;
      if (asked !== this.asking) return true; // somebody asked for something else meanwhile
      this.at = Date.now();
      this.troubles.clear();
      if (answer === this.answer) this.parts.head.draw();
      else this.take(answer);
      this.parts.steer.look();
      return MOVING.test(answer.cells) || answer.runs.some((one) => ["queued", "running"].includes(one.state));
    } catch (error) {
      if (asked === this.asking) this.refused(error);
      throw error;
    }
  }

  async overviewRead() {
    try {
      const pending = await this.overview.read();
      this.at = Date.now();
      this.troubles.clear();
      return pending;
    } catch (error) {
      this.refused(error);
      throw error;
    }
  }

  refused(error) {
    if (error.status === undefined) console.error(error); // not the server's: ours
    this.main.querySelector(".reading")?.remove();
    this.troubles.show(error);
  }

  take(answer) {
    const first = !this.found;
    const [keys, key] = [[...this.choice.cells].map((cell) => this.found.key(cell)), this.piece?.name];
    const again = this.found?.run === answer.run && this.found?.task.name === answer.task.name;
    this.answer = answer;
    this.found = new Found(answer);
    this.choice.keep(this.found, again ? keys : []);
    if (first) this.frame();
    const index = this.getAttribute("index");
    const cell = this.state.piece ? this.found.named(this.state.piece) : first && index ? this.found.atIndex(index) : -1;
    if (cell >= 0) this.show(cell, key === this.state.piece ? this.piece : null);
    else this.piece = null;
    this.draw();
  }

  get runs() { return this.state.run ? (this.allRuns ?? this.found.runs) : this.found.runs; }

  // -- what is drawn
  frame() {
    const { head, sentence, steer, runs, bar } = this.parts;
    fill(this.main, this.trouble, head.element, sentence.element, steer.element, runs.element, h("div", { class: "columns" }, this.body, this.side), bar.element);
  }

  draw() {
    const { head, sentence, runs, matrix, list, errors, bar } = this.parts;
    const waits = this.state.select && this.found.selection?.text !== this.state.select && this.filter?.found === this.found;
    if (!waits) this.filter = new Filter(this.found, this.state);
    const shown = this.state.view === "list" ? list : matrix;
    if (this.body.firstChild !== shown.element) this.body.replaceChildren(shown.element);
    for (const part of [head, sentence, runs, shown, bar]) part.draw();
    const side = this.piece ? this.pieces : errors;
    if (this.side.firstChild !== side.element) this.side.replaceChildren(side.element);
    side.draw();
    this.side.classList.toggle("sheet", Boolean(this.piece));
  }

  /** Only what is chosen has changed. */
  chosen() {
    if (this.choice.size > 1 && this.piece) this.close();
    const { matrix, list, bar } = this.parts;
    if (this.state.view === "list") list.draw();
    else matrix.paint();
    bar.draw();
    this.say(this.choice.size ? `${this.choice.size} chosen` : "Nothing chosen");
  }

  set(changes, { again = false } = {}) {
    Object.assign(this.state, changes);
    address.write(this.state, this.fixed, Object.keys(changes));
    if (this.found) this.draw();
    return again ? this.follow.now() : null;
  }

  /** Back and Forward of the browser. */
  moved() {
    const before = this.state;
    this.state = address.read(this.fixed);
    if (!this.found) return;
    if (["task", "run", "select"].some((name) => before[name] !== this.state[name])) this.follow.now();
    const cell = this.state.piece ? this.found.named(this.state.piece) : -1;
    if (cell < 0) this.piece = null;
    else if (before.piece !== this.state.piece) this.show(cell);
    this.draw();
  }

  showRun(run) {
    if (this.fixed.run) return;
    this.choice.clear();
    this.piece = null;
    this.set({ run, piece: "", error: "" }, { again: true });
  }

  showTask(task) {
    this.choice.clear();
    this.piece = null;
    this.allRuns = null;
    this.set({ task, run: "", piece: "", error: "", zoom: "" }, { again: true });
  }

  unfilter() { this.set({ show: "", error: "", q: "", select: "" }); }

  open(cell) {
    this.show(cell);
    this.set({ piece: this.found.key(cell) });
  }

  /** Show one partition beside the matrix; its history is read again whenever something has changed. */
  async show(cell, known = null) {
    const { found } = this;
    const piece = (this.piece = { ...known, cell, name: found.key(cell), error: null });
    if (!this.choice.size) this.choice.cells.add(cell);
    this.choice.anchor ??= cell;
    try {
      const query = found.values(cell).map((value) => `value=${encodeURIComponent(value)}`).join("&");
      Object.assign(piece, await this.api.get(`${dagPath(found.dag.id, "piece")}?${query}&task=${encodeURIComponent(found.task.name)}`));
    } catch (error) {
      piece.error = error.message;
    }
    if (this.piece === piece && this.found === found) this.pieces.draw();
  }

  close() {
    const cell = this.piece?.cell;
    this.piece = null;
    if (this.choice.size === 1) this.choice.clear();
    this.set({ piece: "" });
    if (cell !== undefined && this.state.view !== "list") this.parts.matrix.focus(cell);
  }

  // -- what is done
  action(...said) { return this.actions.button(...said); }

  done(said) {
    this.choice.clear();
    this.say(said, true);
    this.follow.hurry();
  }

  say(text, seen = false) { this.voice.say(text, seen); }

  copy(cells) { return this.voice.copy(cells.map((cell) => this.found.key(cell))); }

  link(name, args) {
    const date = this.runs.find((run) => run.id === args.run)?.date ?? "";
    const said = { dag: this.found.dag.id, date, ...args };
    return this.base + (this.found.links[name] ?? "").replace(/\{(\w+)\}/g, (_, key) => encodeURIComponent(said[key] ?? ""));
  }

  pageOf(dag) {
    const own = this.getAttribute("own") ?? "";
    return own.includes("{dag}") ? own.replace("{dag}", encodeURIComponent(dag)) : own + encodeURIComponent(dag);
  }

  acts() {
    const ready = (act) => () => this.found && act();
    return {
      "/": () => this.shadowRoot.querySelector("input[type=search]").focus(),
      "?": () => this.showKeys(),
      f: ready(() => this.set({ show: this.state.show === FAILED ? "" : FAILED })),
      a: ready(() => this.choice.only(this.filter.cells)),
      r: ready(() => this.actions.rerun()),
      m: ready(() => this.actions.load()),
      escape: ready(() => this.escape()),
    };
  }

  escape() {
    if (this.piece) return this.close();
    if (this.choice.size) {
      this.choice.clear();
      return this.chosen();
    }
    return this.filter.active ? this.unfilter() : this.state.zoom && this.set({ zoom: "" });
  }

  showKeys() {
    const dialog = keysDialog();
    this.shadowRoot.append(dialog);
    dialog.showModal();
  }
}

if (!customElements.get("mapping-kit-partitions")) customElements.define("mapping-kit-partitions", PartitionsElement);
