// A session or a trace by its address, loaded again while it goes on.

import { Poll, ask } from "./api.js";
import { h } from "./dom.js";
import { StoryView } from "./story.js";

const OFTEN = 5000;
const SELDOM = 30000;
const QUIET = 600; // s; after that long a session has most likely ended

export class SessionPage {
  constructor(host, { kind, id, span }, reports) {
    this.kind = kind;
    this.id = id;
    this.span = span;
    this.reports = reports;
    const base = `#/${kind}/${encodeURIComponent(id)}`;
    this.note = h("div", { class: "empty" }, h("p", {}, "Loading …"));
    host.append(h("p", { class: "back" }, h("a", { href: "#/" }, "← All sessions")), this.note);
    this.view = new StoryView(host, {
      here: (key) => (key ? `${base}/${key}` : base),
      away: (trace, key) => `#/trace/${trace}/${key}`,
      home: (node) => (kind === "trace" && id === node.trace ? null : `#/trace/${node.trace}/${node.key}`),
    });
    this.view.element.hidden = true;
    this.poll = new Poll(() => this.look(), OFTEN);
  }

  async look() {
    try {
      const story = await ask(`api/${this.kind}s/${encodeURIComponent(this.id)}`);
      if (this.poll?.stopped) return;
      this.reports.fine("story");
      if (this.poll) this.poll.every = story.asked - story.began - story.seconds * 1e3 > QUIET * 1e3 ? SELDOM : OFTEN;
      this.tell(story);
    } catch (trouble) {
      if (this.poll?.stopped) return;
      if (trouble.status === 404) this.absent();
      else this.reports.bad("story", trouble);
    }
  }

  tell(story) {
    const words = JSON.stringify({ ...story, asked: 0 });
    const moving = words.includes('"state":"open"');
    if (words === this.words && !moving) return;
    this.words = words;
    this.note.hidden = true;
    this.view.element.hidden = false;
    document.title = `${story.title} – af-otel`;
    this.view.show(story);
    if (this.span && this.view.choose(this.span, { focus: true, details: true })) this.span = "";
  }

  absent() {
    if (this.words) return;
    this.reports.fine("story");
    this.note.replaceChildren(
      h("p", { class: "big" }, `This ${this.kind} was not found`),
      h("p", {}, `No stored ${this.kind} has the id ${this.id}. A new one can be found after a few seconds: this page keeps looking.`));
    this.note.hidden = false;
  }

  goTo(span) {
    if (span) this.view.choose(span, { focus: true, details: true });
  }

  stop() {
    this.poll.stop();
    this.reports.fine("story");
  }
}
