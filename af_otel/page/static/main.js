// The page: where one is, what is asked, and who does not answer.

import { Poll, ask, pause } from "./api.js";
import { Charts } from "./charts.js";
import { h, keyed, say, setText } from "./dom.js";
import { SessionPage } from "./session.js";
import { SessionsList } from "./sessions.js";
import { clock, utc } from "./words.js";

const byId = (id) => document.getElementById(id);

// What does not answer now; each is named until it answers again.
const troubles = new Map();
const reports = {
  bad(what, trouble) {
    troubles.set(what, trouble);
    showTroubles();
  },
  fine(what) {
    const now = Date.now();
    setText(byId("updated"), `updated ${clock(now)}`);
    byId("updated").title = utc(now);
    if (!troubles.delete(what)) return;
    showTroubles();
    say(troubles.size ? "" : "Everything answers again");
  },
};

function showTroubles() {
  const unique = [...new Map([...troubles.values()].map((trouble) => [trouble.message, trouble])).values()];
  const words = (trouble) => [trouble.message, trouble.where].filter(Boolean).join(": ");
  keyed(byId("troubles"), unique, (trouble) => trouble.message,
    () => h("p", { class: "trouble", role: "alert" }),
    (element, trouble) => setText(element, `⚠ ${words(trouble)}. What is shown is what was known before; it is asked again every few seconds.`));
  document.body.classList.toggle("stale", unique.length > 0);
}

async function home(host, about) {
  document.title = `Sessions – ${about.facility || "af-otel"}`;
  const left = h("section", { class: "left", "aria-labelledby": "sessions-title" });
  const right = h("section", { class: "right", "aria-labelledby": "charts-title" });
  host.append(h("div", { class: "home-grid" }, left, right));
  const parts = { sessions: new SessionsList(left, about), charts: new Charts(right, about) };
  const polls = Object.entries(parts).map(([what, part]) => {
    const poll = new Poll(async () => {
      try {
        await part.look();
        if (poll?.stopped) return;
        reports.fine(what);
      } catch (trouble) {
        if (!poll?.stopped) reports.bad(what, trouble);
      }
    });
    part.changed = () => poll.run();
    return poll;
  });
  return { stop() { polls.forEach((poll) => poll.stop()); Object.keys(parts).forEach((what) => reports.fine(what)); } };
}

let shown = { stop() {} };
let place = "";

function where() {
  const [, kind, id, span] = /^#\/(session|trace)\/([^/]+)(?:\/([^/]*))?$/.exec(location.hash) ?? [];
  const read = (text) => {
    try {
      return decodeURIComponent(text ?? "");
    } catch {
      return text;
    }
  };
  return { kind, id: read(id), span: read(span) };
}

async function go(about, first = false) {
  const { kind, id, span } = where();
  const next = kind ? `${kind}/${id}` : "";
  if (next === place && !first) {
    shown.goTo?.(span);
    return;
  }
  place = next;
  shown.stop();
  const main = byId("main");
  main.replaceChildren();
  scrollTo(0, 0);
  shown = kind ? new SessionPage(main, { kind, id, span }, reports) : await home(main, about);
  if (!first) main.focus({ preventScroll: true });
}

async function begin() {
  let about;
  while (!about) {
    try {
      about = await ask("api/about");
      reports.fine("page");
    } catch (trouble) {
      reports.bad("page", trouble);
      await new Promise((resolve) => setTimeout(resolve, 3000));
    }
  }
  setText(byId("facility"), about.facility ? `af-otel · ${about.facility}` : "af-otel");
  byId("elsewhere").replaceChildren(...Object.entries(about.links).map(([title, url]) => h("li", {}, h("a", { href: url }, title))));
  addEventListener("hashchange", () => go(about));
  go(about, true);
}

byId("pause").addEventListener("click", (event) => {
  const wish = event.target.getAttribute("aria-pressed") !== "true";
  event.target.setAttribute("aria-pressed", String(wish));
  setText(event.target, wish ? "Paused" : "Pause");
  pause(wish);
});
// The address is the page's own: a skip link must not take it for a place.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});
begin();
