// The sessions of a facility, known by their traces.

import { ask } from "./api.js";
import { arrows, h, keyed, setText } from "./dom.js";
import { ago, count, duration, moment } from "./words.js";

const MOST_TRACES = 1000; // of one search; Tempo is told the same, and gives the newest
const AT_ONCE = 50;
const SPAWNING = 1200e3; // ms; longer than any hub waits for a server
export const TIMES = [["3600", "last hour"], ["86400", "last day"], ["603000", "last 7 days"]];

function found(traces, names) {
  return (traces ?? []).flatMap((trace) =>
    (trace.spanSets ?? []).flatMap((set) => set.spans.map((span, position) => {
      // As text, whatever a user's own code has put there.
      const values = Object.fromEntries((span.attributes ?? []).map(({ key, value }) => [key, String(Object.values(value)[0])]));
      const began = Number(trace.startTimeUnixNano) / 1e6;
      return {
        session: values[names.session],
        user: values[names.user] ?? "",
        outcome: values[names.outcome] ?? "",
        open: values[names.pending] === "true",
        first: position === 0,
        began: Number(span.startTimeUnixNano) / 1e6,
        seconds: Number(span.durationNanos) / 1e9,
        ended: began + (trace.durationMs ?? 0),
        whole: (trace.durationMs ?? 0) / 1e3,
      };
    })).filter((span) => span.session),
  );
}

// One entry a session, the newest first.
export function gathered(answers, names) {
  const sessions = new Map();
  for (const [what, answer] of Object.entries(answers)) {
    for (const span of found(answer.traces, names)) {
      const session = sessions.get(span.session) ?? { id: span.session, user: "", cells: 0, errors: 0, began: Infinity, last: 0 };
      sessions.set(span.session, session);
      session.user ||= span.user;
      session.began = Math.min(session.began, span.began);
      session.last = Math.max(session.last, span.ended);
      // Traces, not spans: of one that lies in several blocks, a search sees the spans of any one.
      if (what === "cells" && span.first) session.cells += 1;
      if (what === "errors" && span.first) session.errors += 1;
      if (what === "spawns" && !(span.open && session.spawn)) session.spawn = span;
    }
  }
  return [...sessions.values()].sort((one, other) => other.began - one.began);
}

function spawnWords(spawn) {
  if (!spawn) return "";
  // The end of it may lie in another block than the marker that was found; the trace is as long as it.
  if (spawn.open && spawn.whole > spawn.seconds + 0.5) return `started in ${duration(spawn.whole)}`;
  if (spawn.open) return Date.now() - spawn.began < SPAWNING ? "is being started" : "start without an end";
  if (spawn.outcome && spawn.outcome !== "ok") return `spawn: ${spawn.outcome}`;
  return `started in ${duration(spawn.seconds)}`;
}

export class SessionsList {
  constructor(host, about) {
    this.about = about;
    this.most = AT_ONCE;
    this.choice = h("select", { id: "since", onchange: () => this.changed?.() },
      TIMES.map(([seconds, words]) => h("option", { value: seconds, selected: seconds === "86400" }, words)));
    this.list = h("ul", { class: "sessions", id: "sessions", "aria-labelledby": "sessions-title" });
    this.note = h("div", { class: "empty" }, h("p", {}, "Asking Tempo …"));
    this.more = h("button", { type: "button", hidden: true, onclick: () => { this.most += AT_ONCE; this.show(); } });
    this.hold = arrows(this.list, "a.session");
    host.append(
      h("div", { class: "bar-of-title" },
        h("h1", { id: "sessions-title" }, "Sessions"),
        h("label", {}, h("span", { class: "unseen" }, "Sessions of the "), this.choice)),
      h("p", { class: "heads", "aria-hidden": "true" },
        ["began", "person", "cells", "traces", "server", "last seen"].map((word) => h("span", {}, word))),
      this.list, this.note, this.more);
  }

  async look() {
    const { searches, names } = this.about;
    const now = Date.now() / 1e3;
    const times = { start: Math.floor(now - Number(this.choice.value)), end: Math.ceil(now + 60) };
    const asked = Object.entries(searches).map(async ([what, q]) =>
      [what, await ask("tempo/api/search", { q, ...times, limit: MOST_TRACES, spss: 3 })]);
    const answers = Object.fromEntries(await Promise.all(asked));
    this.cut = Object.values(answers).some((answer) => (answer.traces ?? []).length >= MOST_TRACES);
    this.sessions = gathered(answers, names);
    this.show();
  }

  show() {
    const shown = this.sessions.slice(0, this.most);
    keyed(this.list, shown, (session) => session.id, (session) => this.make(session), (item, session) => this.update(item, session));
    this.hold();
    const left = this.sessions.length - shown.length;
    this.more.hidden = left <= 0;
    setText(this.more, `Show ${Math.min(left, AT_ONCE)} more of ${left}`);
    const words = this.words();
    this.list.hidden = !shown.length;
    this.note.hidden = !words.length;
    const told = words.map((word) => word.textContent).join(" ");
    if (this.note.dataset.words !== told) {
      this.note.dataset.words = told;
      this.note.replaceChildren(...words);
    }
  }

  words() {
    if (!this.sessions.length) {
      const hub = this.about.links.JupyterHub;
      return [
        h("p", { class: "big" }, this.choice.value === "603000" ? "No sessions yet" : `No sessions in the ${this.choice.selectedOptions[0].textContent}`),
        h("p", {}, "Log in", ...(hub ? [" at ", h("a", { href: hub }, hub)] : [" to the hub"]), " and run a cell: it is here some seconds later."),
      ];
    }
    if (this.cut) return [h("p", {}, `Tempo was asked for ${count(MOST_TRACES, "trace")} of a kind: earlier ones are not counted here.`)];
    return [];
  }

  make(session) {
    const part = (name) => h("span", { class: name });
    return h("li", {},
      h("a", { class: "session", href: `#/session/${encodeURIComponent(session.id)}` },
        h("span", { class: "began" }, moment(session.began)),
        h("span", { class: "person" }, h("span", { class: "unseen" }, "person "), session.user.slice(0, 8) || "unknown"),
        part("cells"), part("errors"), part("server"), part("last")));
  }

  update(item, session) {
    const put = (name, words) => setText(item.querySelector(`.${name}`), words);
    put("cells", session.cells ? count(session.cells, "cell") : "no cells");
    put("errors", session.errors ? `✕ ${session.errors} failed` : "none failed");
    item.querySelector(".errors").classList.toggle("failed", session.errors > 0);
    put("server", spawnWords(session.spawn));
    item.querySelector(".server").classList.toggle("failed", Boolean(session.spawn && !session.spawn.open && session.spawn.outcome && session.spawn.outcome !== "ok"));
    put("last", ago(session.last));
    item.querySelector(".last").title = `last seen ${new Date(session.last).toISOString().slice(0, 19).replace("T", " ")} UTC`;
  }
}
