// What the page says by itself: to a screen reader always, for all to see where something was done.
import { h } from "./dom.js";
import { plain, plural } from "./text.js";

const SEEN = 8_000; // ms

export class Voice {
  constructor() {
    this.heard = h("div", { class: "unseen", role: "status" });
    this.seen = h("div", { class: "toast", "aria-hidden": "true", hidden: true });
    this.elements = [this.seen, this.heard];
  }

  say(text, seen = false) {
    this.heard.textContent = plain(text);
    if (!seen) return;
    this.seen.textContent = plain(text);
    this.seen.hidden = false;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => { this.seen.hidden = true; }, SEEN);
  }

  async copy(keys) {
    try {
      await navigator.clipboard.writeText(keys.join("\n"));
      this.say(`${plural(keys.length, "key")} copied.`, true);
    } catch {
      this.say("The browser copies only on pages that come by https.", true);
    }
  }
}
