// Before anything runs: exactly what is cleared, what is started, what is left alone. Then one click.
import { fill, h, name } from "./dom.js";
import { dagPath } from "./api.js";
import { count, plural } from "./text.js";

const FIRST = 60; // of a run's instances; a click shows the rest

export class Preview {
  constructor(page) {
    this.page = page;
    this.element = h("dialog", { "aria-labelledby": "what", onclose: () => this.closed() });
  }

  /** Ask what `body` would do, and show it. */
  async open(body) {
    this.body = body;
    this.path = (what) => dagPath(this.page.found.dag.id, what);
    this.back = this.page.shadowRoot.activeElement?.dataset.focus;
    this.page.tip.hide();
    fill(this.element, h("h2", { id: "what" }, "Looking what that would do…"), this.ends());
    if (!this.element.open) this.element.showModal();
    try {
      const found = await this.page.api.post(this.path("preview"), body);
      if (this.element.open) this.show(found);
    } catch (error) {
      this.refuse(error);
    }
  }

  show(found, said) {
    const starts = found.starts.length;
    const nothing = !found.instances && !starts;
    const title = nothing ? "There is nothing to do"
      : starts && !found.instances ? `Load ${plural(found.pieces, "missing partition")} with ${plural(starts, "new run")}`
        : `Run ${plural(found.pieces, "partition")} again`;
    const left = found.runs.reduce((all, run) => all + (run.left ?? 0), 0);
    const go = h("button", { class: starts ? "go" : "main", type: "button", onclick: () => this.carryOut(found, go) },
      starts ? `Start ${plural(starts, "run")}` : `Clear ${plural(found.instances, "instance")}`);
    const paused = this.page.found.dag.paused;
    fill(this.element,
      h("h2", { id: "what" }, title),
      said && h("p", { class: "warn", role: "alert" }, said),
      nothing && h("p", { class: "soft" }, found.notes.join(" ") || "What was chosen is at work, or has been loaded in the meantime."),
      !nothing && [
        h("p", { class: "soft" }, starts ? "Each run is one of this DAG, as from its trigger form:" : "Exactly these instances are cleared. Everything else keeps its results."),
        h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "What runs" }, found.starts.map((one) => this.start(one)), found.runs.map((run) => this.run(run))),
        found.notes.map((note) => h("p", { class: "warn" }, note)),
        left > 0 && h("p", { class: "warn" }, `${plural(left, "instance")} at work or waiting in these runs: left alone.`),
        paused && h("p", { class: "warn" }, "The DAG is paused: nothing runs until it is unpaused."),
      ],
      nothing ? this.ends() : this.ends(go));
    if (nothing) this.reach();
    else go.focus();
  }

  start({ run_id: id, conf, pieces }) {
    const said = Object.entries(conf ?? {}).map(([key, value]) => h("span", { class: "tag" }, `${key}: ${Array.isArray(value) ? value.join(", ") : typeof value === "object" ? JSON.stringify(value) : value}`));
    return h("section", {}, h("h3", {}, name(id), h("span", { class: "soft" }, ` · ${plural(pieces, "partition")}`)), h("p", { class: "tags" }, said));
  }

  run({ run, state, before = [], pieces, after = [] }) {
    const tags = h("p", { class: "tags" }, pieces.slice(0, FIRST).map(tag));
    const rest = pieces.slice(FIRST);
    if (rest.length) {
      const all = h("button", { class: "link", type: "button", onclick: () => all.replaceWith(...rest.map(tag)) }, `and ${count(rest.length)} more`);
      tags.append(all);
    }
    return h("section", {},
      h("h3", {}, name(run), h("span", { class: "soft" }, ` · ${state}, ${plural(pieces.length, "instance")}`)),
      tags,
      before.length > 0 && h("p", { class: "small soft tags" }, "before them: ", before.map(tag)),
      after.length > 0 && h("p", { class: "small soft tags" }, "after them: ", after.map(tag)));
  }

  async carryOut(found, go) {
    go.disabled = true;
    try {
      const done = await this.page.api.post(this.path("redrive"), { ...this.body, digest: found.digest });
      this.element.close();
      const said = done.started?.length ? `${plural(done.started.length, "run")} started.` : `${plural(done.cleared, "instance")} cleared.`;
      const left = done.left > 0 ? `${plural(done.left, "instance")} had changed meanwhile and ${done.left === 1 ? "was" : "were"} left alone. ` : "";
      this.page.done(`${said} ${left}${this.page.found.dag.paused ? "The DAG is paused: they wait until it is unpaused." : "They run as soon as there is room."}`);
    } catch (error) {
      if (error.status === 409 && error.body.preview) this.show(error.body.preview, error.message);
      else this.refuse(error);
    }
  }

  refuse(error) {
    fill(this.element, h("h2", { id: "what" }, "Nothing was changed"), h("p", { class: "warn", role: "alert" }, error.status === 0 ? `${error.message} Whether it was done will show when Airflow is back.` : error.message), this.ends());
    if (error.status === 0) this.element.querySelector("h2").textContent = "No answer";
    this.reach();
  }

  /** Put the focus on the button that closes: what had it is gone, and with it the way out by the keyboard. */
  reach() {
    this.element.querySelector(".ends button").focus();
  }

  ends(...more) {
    const close = h("button", { type: "button", onclick: () => this.element.close() }, more.length ? "Cancel" : "Close");
    return h("div", { class: "ends" }, close, more);
  }

  /** Back to the button it came from, which may have been drawn anew meanwhile. */
  closed() {
    this.element.replaceChildren();
    if (this.back) [...this.page.shadowRoot.querySelectorAll("[data-focus]")].find((one) => one.dataset.focus === this.back)?.focus({ preventScroll: true });
  }
}

/** `[task, index, state, label]` as people know it. */
function tag([task, index, state, label]) {
  const id = index >= 0 ? `${task}[${index}]` : task;
  return h("span", { class: "tag", title: `${id}, was ${state ?? "without a state"}` }, name(label || id));
}
