// What the page's own server answers, asked again and again, by one who gives way.

const EVERY = 5000;
const PATIENCE = 30000;

export class Trouble extends Error {
  constructor({ server = "", what, where = "", hint = "" }, status = 0) {
    super(what);
    Object.assign(this, { server, where, hint, status });
  }
}

export async function ask(path, parameters = {}) {
  const query = new URLSearchParams(parameters).toString();
  let answer;
  let body;
  try {
    const url = new URL(path, location.href);
    url.search = query;
    // The page's own address may have the login in it; a browser fetches nothing from such an address.
    url.username = url.password = "";
    answer = await fetch(url, { signal: AbortSignal.timeout(PATIENCE) });
    body = await answer.text();
  } catch {
    const hint = "is the facility up? `af-otel status` says";
    throw new Trouble({ server: "page", what: "The server of this page does not answer", hint });
  }
  let content;
  try {
    content = JSON.parse(body);
  } catch {
    throw new Trouble({ server: "page", what: `The server of this page answered ${answer.status}` }, answer.status);
  }
  if (answer.ok) return content;
  const said = typeof content.error === "string" ? { what: content.error } : content.error;
  throw new Trouble(said ?? { what: `${path} was answered with ${answer.status}` }, answer.status);
}

const polls = new Set();
let paused = false;

// Calls `look` now and every few seconds while somebody looks; never twice at once.
export class Poll {
  constructor(look, every = EVERY) {
    this.look = look;
    this.every = every;
    this.stopped = false;
    polls.add(this);
    this.run();
  }

  async run() {
    clearTimeout(this.timer);
    if (this.stopped || this.running) return;
    this.running = true;
    try {
      await this.look();
    } finally {
      this.running = false;
      if (!this.stopped && !resting()) this.timer = setTimeout(() => this.run(), this.every);
    }
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
    polls.delete(this);
  }
}

function resting() {
  return paused || document.hidden;
}

function follow() {
  for (const one of polls) {
    clearTimeout(one.timer);
    if (!resting()) one.run();
  }
}

export function pause(wish) {
  paused = wish;
  follow();
}

document.addEventListener("visibilitychange", follow);
