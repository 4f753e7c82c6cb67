// Words and numbers for people, and strangers' text made harmless.

// The same characters as printable.py: what ends a line, steers a terminal, turns the direction of writing round or can't
// be seen. Not the joiners that scripts and emoji need.
const CONTROLS =
  /[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;

const escaped = (char) => `\\u${char.codePointAt(0).toString(16).padStart(4, "0")}`;

/** Text with every character escaped that could pass for something else; its lines and tabs stay. */
export const plain = (text) =>
  String(text).replace(CONTROLS, (char) => (char === "\n" || char === "\t" ? char : escaped(char)));

/** The same in one line: of a label, a key, the name of a run. */
export const oneLine = (text) => String(text).replace(CONTROLS, escaped);

export const firstLine = (text) => oneLine(String(text ?? "").split("\n", 1)[0]);

export const count = (n) => n.toLocaleString("en");

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

const UNITS = [["year", 31_557_600], ["month", 2_629_800], ["day", 86_400], ["hour", 3_600], ["minute", 60]];

/** `3 days ago`, of a moment in ISO form. */
export function ago(moment, now = Date.now()) {
  const seconds = (now - new Date(moment)) / 1000;
  if (Number.isNaN(seconds)) return "";
  for (const [unit, size] of UNITS) if (seconds >= size) return `${plural(Math.floor(seconds / size), unit)} ago`;
  return "just now";
}

/** `14:05`, where the person sits. */
export const clock = (moment) =>
  new Date(moment).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

/** `2.6 s`, `4 min 10 s`, `3 h 2 min`. */
export function duration(seconds) {
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60 ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
