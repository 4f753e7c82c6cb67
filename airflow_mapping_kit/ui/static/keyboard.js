// Keys: where the arrows lead in the matrix, and what a letter does on the page.

import { h } from "./dom.js";

/**
 * The element that a key leads to from `from`, or `null`.
 * `lines` are lists of elements by row and column, `null` where there is none; PageUp and PageDown go from block to block.
 */
export function walk(lines, from, { key, ctrlKey, metaKey }) {
  const row = lines.findIndex((line) => line.includes(from));
  if (row < 0) return null;
  const line = lines[row];
  const column = line.indexOf(from);
  const ends = ctrlKey || metaKey;
  const real = (some) => some.filter(Boolean);
  switch (key) {
    case "ArrowLeft": return real(line.slice(0, column)).at(-1) ?? null;
    case "ArrowRight": return real(line.slice(column + 1))[0] ?? null;
    case "ArrowUp": return real(lines.slice(0, row).map((one) => one[column])).at(-1) ?? null;
    case "ArrowDown": return real(lines.slice(row + 1).map((one) => one[column]))[0] ?? null;
    case "Home": return real(ends ? lines[0].slice(1) : line.slice(1))[0] ?? null;
    case "End": return real(ends ? lines.at(-1) : line).at(-1) ?? null;
    case "PageUp": return nearby(lines.slice(0, row).reverse(), line.block, column);
    case "PageDown": return nearby(lines.slice(row + 1), line.block, column);
    default: return null;
  }
}

const nearby = (lines, block, column) => lines.find((line) => line.block !== block && line[column])?.[column] ?? null;

const KEYS = [
  ["arrows", "move; Page up and down from block to block, Home and End in a row"],
  ["Enter", "shows a partition: its runs, errors, logs"],
  ["Space", "chooses it; Shift with arrows, or with a click, a rectangle"],
  ["R", "runs again what is chosen, else what failed"],
  ["M", "loads what is missing"],
  ["F", "only what failed, and back"],
  ["A", "chooses all that is shown"],
  ["/", "to the filter"],
  ["Esc", "closes, chooses nothing, filters nothing: in this order"],
  ["?", "these keys"],
];

export function keysDialog() {
  const dialog = h("dialog", { "aria-label": "Keys", onclose: () => dialog.remove() }, h("h2", {}, "Keys"),
    h("dl", { class: "keys" }, KEYS.map(([key, does]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, does)])),
    h("div", { class: "ends" }, h("button", { type: "button", onclick: () => dialog.close() }, "Close")));
  return dialog;
}

/** Run what a letter stands for, where nobody is typing and no other part of Airflow's page has the focus. */
export function onKeys(page, acts) {
  const pressed = (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || !page.isConnected) return;
    const path = event.composedPath();
    if (!path.includes(page) && path[0] !== document.body && path[0] !== document.documentElement) return;
    if (path.some((node) => node.tagName === "DIALOG")) return;
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(path[0].tagName ?? "") && path[0].type !== "checkbox") {
      if (event.key === "Escape") path[0].blur();
      return;
    }
    const act = acts[event.key] ?? acts[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  };
  document.addEventListener("keydown", pressed);
  return () => document.removeEventListener("keydown", pressed);
}
