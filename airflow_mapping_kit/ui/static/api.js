// Asks Airflow. What hasn't changed since comes as a 304 and is taken from here.

/** An answer that is none. `status` is 0 where Airflow can't be reached at all. */
export class Refused extends Error {
  constructor(message, status, body = {}) {
    super(message);
    this.status = status;
    this.body = body;
  }

  /** It may go away by itself: the server restarts, the database is away, a proxy has nobody to ask. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** A look that takes longer is given up: a database or a network that hangs says nothing. In milliseconds. */
const PATIENCE = 60_000;

export class Api {
  constructor(root, csrf) {
    this.root = root.replace(/\/$/, "");
    this.csrf = csrf;
    this.known = new Map(); // path -> { tag, body }; the last few
  }

  /** Ask for `path`; the same object as last time means that nothing has changed. */
  async get(path, query = {}) {
    const said = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "" && value !== undefined));
    const url = `${this.root}${path}${said.size ? `?${said}` : ""}`;
    const known = this.known.get(url);
    const answer = await this.fetched(url, { headers: known ? { "If-None-Match": known.tag } : {}, cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    if (answer.status === 304 && known) return known.body;
    const body = await parsed(answer);
    const tag = answer.headers.get("ETag");
    this.known.delete(url);
    if (tag) this.known.set(url, { tag, body });
    if (this.known.size > 4) this.known.delete(this.known.keys().next().value);
    return body;
  }

  async post(path, body) {
    const answer = await this.fetched(`${this.root}${path}`, {
      method: "POST",
      body: JSON.stringify(body),
      headers: { "Content-Type": "application/json", "X-Mapping-Kit": "1", ...(this.csrf && { "X-CSRFToken": this.csrf }) },
    });
    return parsed(answer);
  }

  async fetched(url, options) {
    try {
      return await fetch(url, { credentials: "same-origin", ...options });
    } catch {
      throw new Refused("Can't reach Airflow.", 0);
    }
  }
}

async function parsed(answer) {
  const json = (answer.headers.get("Content-Type") ?? "").includes("json");
  let body;
  try {
    body = json ? await answer.json() : {};
  } catch {
    throw new Refused("Airflow's answer broke off.", 0);
  }
  if (answer.ok && json) return body;
  // A page instead of JSON with "200 OK" is where a sign-in was asked for on the way.
  if (answer.status === 401 || answer.ok) throw new Refused("You are signed out. Sign in again and reload this page.", 401);
  const said = typeof body.error === "string" ? body.error : typeof body.detail === "string" ? body.detail : "";
  throw new Refused(said || `Airflow answered ${answer.status} ${answer.statusText}`.trim(), answer.status, body);
}

export const dagPath = (dag, what) => `/dags/${encodeURIComponent(dag)}/${what}`;
