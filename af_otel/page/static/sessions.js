// The sessions of a facility, newest first.

import { ask } from "./api.js";
import { arrows, h, keyed, setText } from "./dom.js";
import { ago, count, duration, moment } from "./words.js";

const DAY = 86400;
const TIMES = [[3600, "last hour"], [DAY, "last day"], [7 * DAY, "last 7 days"], [30 * DAY, "last 30 days"]];
const TOLERANCE = 3600; // s; Tempo searches ten minutes less than a week

// More than was counted is possible, less is not.
function atLeast(session, words) {
  return session.counted_all ? words : `at least ${words}`;
}

function spawnWords(spawn) {
  if (!spawn) return "";
  if (spawn.state === "starting") return "starting";
  if (spawn.state === "unfinished") return "start did not finish";
  if (spawn.state === "failed") return `spawn: ${spawn.outcome}`;
  return `started in ${duration(spawn.seconds)}`;
}

export class SessionsList {
  constructor(host, about) {
    this.about = about;
    this.restarted();
    const times = TIMES.filter(([seconds]) => seconds <= about.max_age + TOLERANCE);
    this.choice = h("select", { id: "since", onchange: () => this.restart() },
      times.map(([seconds, words]) => h("option", { value: seconds, selected: seconds === DAY }, words)));
    this.list = h("ul", { class: "sessions", id: "sessions", "aria-labelledby": "sessions-title" });
    this.note = h("div", { class: "empty" }, h("p", {}, "Loading …"));
    this.more = h("button", { type: "button", hidden: true, onclick: () => this.loadMore() }, "Show older sessions");
    this.hold = arrows(this.list, "a.session");
    host.append(
      h("div", { class: "bar-of-title" },
        h("h1", { id: "sessions-title" }, "Sessions"),
        h("label", {}, h("span", { class: "unseen" }, "Sessions of the "), this.choice)),
      h("p", { class: "heads", "aria-hidden": "true" },
        ["began", "person", "cells", "traces", "server", "last seen"].map((word) => h("span", {}, word))),
      this.list, this.note, this.more);
  }

  restart() {
    this.restarted();
    this.changed?.();
  }

  restarted() {
    this.sessions = new Map(); // of all pages that were loaded: the first is loaded again and again
    this.next = null;
    this.complete = true;
    this.older = false; // whether more than the first page was loaded
  }

  async load(before) {
    const choice = this.choice.value;
    const start = Math.floor(Date.now() / 1e3 - Number(choice));
    const page = await ask("api/sessions", before ? { start, before } : { start });
    if (choice !== this.choice.value) return; // another range was chosen meanwhile
    for (const session of page.sessions) this.sessions.set(session.id, session);
    if (before || !this.older) this.next = page.next;
    this.complete = page.complete && (this.complete || !this.older);
    this.older ||= Boolean(before);
    this.show();
  }

  look() {
    return this.load();
  }

  async loadMore() {
    this.more.disabled = true;
    try {
      await this.load(this.next);
    } catch {
      this.changed?.(); // which reports who does not answer
    } finally {
      this.more.disabled = false;
    }
  }

  show() {
    const sessions = [...this.sessions.values()].sort((one, other) => other.began - one.began);
    keyed(this.list, sessions, (session) => session.id, (session) => this.make(session), (item, session) => this.update(item, session));
    this.hold();
    this.more.hidden = !this.next;
    const words = sessions.length ? this.incomplete() : this.empty();
    this.list.hidden = !sessions.length;
    this.note.hidden = !words.length;
    const text = words.map((word) => word.textContent).join(" ");
    if (this.note.dataset.words !== text) {
      this.note.dataset.words = text;
      this.note.replaceChildren(...words);
    }
  }

  empty() {
    const hub = this.about.links.JupyterHub;
    return [
      h("p", { class: "big" }, `No sessions in the ${this.choice.selectedOptions[0].textContent}`),
      h("p", {}, "Log in", ...(hub ? [" at ", h("a", { href: hub }, hub)] : [" to the hub"]), " and run a cell: it appears here after a few seconds."),
    ];
  }

  incomplete() {
    if (this.complete) return [];
    return [h("p", {}, `${this.about.store} has more traces in this time range than one search returns: older sessions may be missing. Choose a shorter range.`)];
  }

  make(session) {
    const part = (name) => h("span", { class: name });
    return h("li", {},
      h("a", { class: "session", href: `#/session/${encodeURIComponent(session.id)}` },
        h("span", { class: "began" }, moment(session.began * 1e3)),
        h("span", { class: "person" }, h("span", { class: "unseen" }, "person "), (session.user ?? "").slice(0, 8) || "unknown"),
        part("cells"), part("errors"), part("server"), part("last")));
  }

  update(item, session) {
    const put = (name, words) => setText(item.querySelector(`.${name}`), words);
    put("cells", session.cells ? atLeast(session, count(session.cells, "cell")) : "no cells");
    put("errors", session.failures ? atLeast(session, `✕ ${session.failures} failed`) : "none failed");
    item.querySelector(".errors").classList.toggle("failed", session.failures > 0);
    put("server", spawnWords(session.spawn));
    item.querySelector(".server").classList.toggle("failed", session.spawn?.state === "failed");
    put("last", ago(session.last_seen * 1e3));
    item.querySelector(".last").title = `last seen ${new Date(session.last_seen * 1e3).toISOString().slice(0, 19).replace("T", " ")} UTC`;
  }
}
