// One cell of the matrix: a partition, or many of them.
import { h } from "./dom.js";
import { firstLine, plural } from "./text.js";
import { FAILED, STATES, sum, word } from "./states.js";

const attribute = (node, name, value) => (value === null ? node.removeAttribute(name) : node.setAttribute(name, value));

/** What a screen reader says of a partition, and the first line of what the mouse shows. */
export function spoken(found, cell) {
  const state = STATES[found.state(cell)]?.means ?? found.state(cell);
  return `${found.label(cell)}: ${state}${found.old(cell) && found.state(cell) !== "o" ? ", older data are there" : ""}`;
}

/** What the mouse shows of a partition. */
export function told(found, cell) {
  const at = found.attempt(cell);
  const error = found.error(cell);
  return [
    spoken(found, cell) + (at?.tries > 1 ? `, ${plural(at.tries, "try", "tries")}` : ""),
    error && `${error.type ?? ""} ${firstLine(error.message)}`.trim(),
    at?.run?.id,
  ].filter(Boolean).join("\n");
}

export function toldOfMany(found, { title, cells }) {
  const counts = countsOf(found, cells);
  return `${title}: ${Object.keys(STATES).filter((state) => counts[state]).map((state) => `${counts[state]} ${word(state)}`).join(", ")}`;
}

export function countsOf(found, cells) {
  const counts = {};
  for (const cell of cells) {
    const state = found.state(cell);
    if (state !== ".") counts[state] = (counts[state] ?? 0) + 1;
  }
  return counts;
}

export const one = (cell) =>
  h("button", { class: "c", type: "button", role: "gridcell", tabindex: -1, "data-cell": cell });

export const many = (group) =>
  h("button", { class: "c many", type: "button", role: "gridcell", tabindex: -1, "data-group": group });

/** Bring a partition's cell up to date; returns whether anything had changed. */
export function paintOne(node, { found, filter, choice }) {
  const cell = Number(node.dataset.cell);
  const [chosen, fits] = [choice.has(cell), filter.has(cell)];
  const now = `${found.cells[cell]}${Number(chosen)}${Number(fits)}`;
  if (node.now === now && node.of === found) return false;
  node.now = now;
  node.of = found;
  attribute(node, "data-s", found.state(cell));
  attribute(node, "data-old", found.old(cell) && found.state(cell) !== "o" ? "" : null);
  attribute(node, "aria-label", spoken(found, cell));
  attribute(node, "aria-selected", String(chosen));
  node.classList.toggle("dim", !fits);
  return true;
}

/** The same of a cell that holds many: as high as their share, but what isn't loaded can always be seen. */
export function paintMany(node, { found, filter }, group) {
  const counts = countsOf(found, group.cells);
  const fits = !filter.active || group.cells.some((cell) => filter.has(cell));
  const now = `${JSON.stringify(counts)}${fits}`;
  if (node.now === now) return false;
  node.now = now;
  const states = Object.keys(STATES).filter((state) => counts[state]);
  node.replaceChildren(...states.map((state) => h("span", { "data-s": state, style: { "flex-grow": String(counts[state]) } })));
  const bad = sum(counts, `${FAILED}m`);
  attribute(node, "data-worst", states.find((state) => `${FAILED}mt`.includes(state)) ?? null);
  attribute(node, "aria-label", `${toldOfMany(found, group)}${bad ? "" : ". All there."}`);
  attribute(node, "aria-selected", "false");
  node.classList.toggle("dim", !fits);
  node.classList.toggle("none", !states.length);
  return true;
}
