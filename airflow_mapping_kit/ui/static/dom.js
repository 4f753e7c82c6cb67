// Makes elements. All text gets into the page here, as text nodes and attributes, never as HTML.
import { plain } from "./text.js";

const SPOKEN = new Set(["title", "aria-label", "placeholder"]);

/**
 * An element: `h("button", { class: "go", onclick: act }, "Start")`.
 * Properties that begin with `on` are listeners, `style` is an object of custom properties and the like (set by
 * the object model, which a strict Content-Security-Policy allows), all others are attributes; those that are
 * `null`, `undefined` or `false` are left out. Children may be nested lists; empty ones are left out.
 */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, one] of Object.entries(value)) node.style.setProperty(key, one);
    else node.setAttribute(name, value === true ? "" : SPOKEN.has(name) ? plain(value) : value);
  }
  node.append(...nodes(children));
  return node;
}

/** Put children into an element in place of what it has; where the focus was by a `data-focus`, it is again. */
export function fill(node, ...children) {
  const focused = node.getRootNode().activeElement;
  const name = node.contains(focused) ? focused.dataset.focus : undefined;
  node.replaceChildren(...nodes(children));
  if (name) [...node.querySelectorAll("[data-focus]")].find((one) => one.dataset.focus === name)?.focus({ preventScroll: true });
  return node;
}

/**
 * A name, in a direction of its own: one from right to left doesn't turn round what stands beside it. Of blanks alone
 * one sees the quotes.
 */
export const name = (text) => h("bdi", {}, String(text).trim() || text === "" ? String(text) : JSON.stringify(text));

const nodes = (children) =>
  children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false && child !== "")
    .map((child) => (child instanceof Node ? child : document.createTextNode(plain(child))));
