// The states of a partition: a letter on the wire, a word, a sentence and a sign for people.
import { h } from "./dom.js";

/** Worst first: the order of chips, lists and bars. */
export const STATES = {
  f: { word: "failed", means: "failed" },
  b: { word: "upstream failed", means: "something before it failed" },
  u: { word: "not run", means: "not run: its run ended before it began" },
  m: { word: "missing", means: "missing: no run has it" },
  t: { word: "stale", means: "stale: what it was made from has changed since" },
  w: { word: "at work", means: "at work" },
  q: { word: "waiting", means: "waiting" },
  s: { word: "skipped", means: "skipped" },
  h: { word: "healed", means: "failed here, loaded by a later run" },
  o: { word: "loaded", means: "loaded" },
};

/** What "re-run failed" means: also what never ran because of a failure. */
export const FAILED = "fbu";
/** What a person may run again. */
export const ENDED = "fbutsoh";
export const MOVING = /[wq]/i;

export const word = (letter) => STATES[letter]?.word ?? letter;

/** How often each state is there, older data or not. `.` belongs to no partition. */
export function tally(counts) {
  const found = {};
  for (const [letter, n] of Object.entries(counts ?? {})) {
    const state = letter.toLowerCase();
    if (state !== ".") found[state] = (found[state] ?? 0) + n;
  }
  return found;
}

export const sum = (found, states = Object.keys(found)) => [...states].reduce((all, state) => all + (found[state] ?? 0), 0);

/** The sign of a state, as it stands in a cell. */
export const sign = (state, { old = false } = {}) =>
  h("span", { class: "sign", "data-s": state, "data-old": old, "aria-hidden": "true" });

const LETTERS = Object.fromEntries(Object.entries(STATES).map(([letter, one]) => [one.word.replaceAll(" ", "_"), letter]));

/** The letter of a state in a word, as history/states.py writes them: `f` of `failed`, `b` of `upstream_failed`. */
export const letterOf = (state) => LETTERS[state] ?? "q";
