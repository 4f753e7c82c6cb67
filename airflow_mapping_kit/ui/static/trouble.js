// What stands above the page while Airflow can't be asked. What was known stays below it.
import { fill, h } from "./dom.js";
import { clock } from "./text.js";

export class Trouble {
  constructor(page) {
    this.page = page;
    this.element = h("div", { class: "trouble", role: "alert", hidden: true });
  }

  clear() {
    this.element.hidden = true;
    this.said = "";
  }

  show(error) {
    const { at, follow } = this.page;
    const known = at ? ` Showing what was known at ${clock(at)}.` : "";
    const said = `${error.passing && error.status !== 0 ? "Can't reach Airflow's database or server: " : ""}${error.message}${known}`;
    this.element.hidden = false;
    if (said === this.said) return; // a screen reader hears it once
    this.said = said;
    const sign = this.page.hasAttribute("alone") && error.status === 401;
    fill(this.element, h("span", {}, said, error.passing ? " It is tried again by itself." : ""),
      sign ? h("a", { href: `${this.page.base}auth/login?next=${encodeURIComponent(location.href)}` }, "Sign in")
        : h("button", { type: "button", "data-focus": "try", onclick: () => follow.now() }, "Try now"));
  }
}
