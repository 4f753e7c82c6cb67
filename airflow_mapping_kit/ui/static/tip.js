// What the mouse, or the focus, shows of the thing beneath it.
import { h } from "./dom.js";
import { plain } from "./text.js";

export class Tip {
  constructor() {
    this.element = h("div", { class: "tip", role: "tooltip", "aria-hidden": "true" });
  }

  /** Show `text(button)` of the buttons within `area`. */
  over(area, text) {
    const show = (event) => {
      const node = event.target.closest?.("button");
      const said = node && text(node);
      if (said) this.show(node, said);
      else this.hide();
    };
    area.addEventListener("pointerover", show);
    area.addEventListener("focusin", (event) => event.target.matches(":focus-visible") && show(event));
    for (const end of ["pointerleave", "focusout"]) area.addEventListener(end, () => this.hide());
  }

  show(node, text) {
    this.element.textContent = plain(text);
    const at = node.getBoundingClientRect();
    const own = this.element.getBoundingClientRect();
    const above = at.top > own.height + 12;
    this.element.style.setProperty("left", `${Math.max(8, Math.min(at.left, innerWidth - own.width - 8))}px`);
    this.element.style.setProperty("top", `${above ? at.top - own.height - 8 : at.bottom + 8}px`);
  }

  hide() { this.element.textContent = ""; }
}
