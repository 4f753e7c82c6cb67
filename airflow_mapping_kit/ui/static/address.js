// What the page shows, as it stands in the browser's address: a link keeps all of it.

const NAMES = ["task", "run", "show", "error", "select", "q", "piece", "view", "zoom"];
/** Changes that are steps: Back undoes them. Filters are typed letter by letter and aren't. */
const STEPS = new Set(["task", "run", "piece", "view", "zoom"]);

/** Read what the address says. What the element's attributes fix isn't the address's to say. */
export function read(fixed) {
  const query = new URLSearchParams(location.search);
  return Object.fromEntries(NAMES.map((name) => [name, fixed[name] || query.get(name) || ""]));
}

/** Write it. The state that Airflow's router keeps in the browser's history is handed on as it is. */
export function write(state, fixed, changed = []) {
  const query = new URLSearchParams(location.search);
  for (const name of NAMES) {
    if (state[name] && !fixed[name]) query.set(name, state[name]);
    else query.delete(name);
  }
  const text = query.toString();
  const address = location.pathname + (text && `?${text}`) + location.hash;
  if (address === location.pathname + location.search + location.hash) return;
  const step = changed.some((name) => STEPS.has(name));
  history[step ? "pushState" : "replaceState"](history.state, "", address);
}
