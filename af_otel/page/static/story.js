// One story on the screen: what it was, all of it at once, its spans, and the one that was chosen.

import { Details } from "./details.js";
import { h, say, setText } from "./dom.js";
import { Overview } from "./overview.js";
import { Tree } from "./tree.js";
import { Waterfall } from "./waterfall.js";
import { moment } from "./words.js";

export class StoryView {
  // `here(span)` is the address of a span of this story, `away(trace, span)` of one that is not in it.
  constructor(host, { here, away, home }) {
    this.here = here;
    const tree = (this.tree = new Tree());
    const address = (link) => (tree.nodes.has(link.span) ? here(link.span) : link.name ? null : away(link.trace, link.span));
    this.overview = new Overview(tree, (node) => this.choose(node.key, { focus: true }));
    this.waterfall = new Waterfall(tree, { address, chosen: (node, byKey) => this.choose(node.key, { details: true, into: byKey }) });
    this.details = new Details(tree, { address, home, closed: () => this.unchoose() });
    this.title = h("h1", { id: "story-title" });
    this.facts = h("p", { class: "facts" });
    this.errors = h("button", { type: "button", id: "next-error", onclick: () => this.nextError() }, "Next error");
    this.scale = h("select", { id: "scale", onchange: () => { tree.scale = this.scale.value; this.waterfall.show(); } },
      h("option", { value: "trace" }, "each trace's own"), h("option", { value: "session" }, "all of it"));
    const folding = (words, wish) => h("button", { type: "button", onclick: () => { tree.closeAll(wish); this.waterfall.show(); } }, words);
    this.beside = h("div", { class: "beside" }, this.waterfall.element, this.details.element);
    this.element = h("section", { class: "story", "aria-labelledby": "story-title" },
      this.title, this.facts, this.overview.element,
      h("div", { class: "tools" }, this.errors, folding("Close all", true), folding("Open all", false),
        h("label", {}, "Time: ", this.scale)),
      this.beside);
    host.append(this.element);
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !this.details.element.hidden) {
        event.preventDefault();
        this.unchoose();
      }
    });
  }

  show(story) {
    const first = !this.tree.story;
    this.tree.tell(story);
    setText(this.title, story.title);
    const facts = `${story.facts}, `;
    if (this.facts.dataset.words !== facts + story.error_words) {
      this.facts.dataset.words = facts + story.error_words;
      this.facts.replaceChildren(moment(story.began), `, ${facts}`, h("span", { class: story.errors ? "failed" : "" }, (story.errors ? "✕ " : "") + story.error_words));
    }
    this.errors.hidden = !story.errors;
    this.overview.show();
    this.waterfall.show();
    const chosen = this.tree.nodes.get(this.waterfall.selected);
    if (chosen && !this.details.element.hidden) this.details.show(chosen);
    if (first) say(`${story.title}: ${story.facts}, ${story.error_words}`);
  }

  // By its key or by its address: the row is shown, whatever hid it.
  choose(key, { focus = false, details = false, into = false } = {}) {
    const node = this.tree.nodes.get(key);
    if (!node) return false;
    this.tree.reveal(key);
    this.waterfall.active = key;
    this.waterfall.show();
    this.waterfall.select(key);
    if (focus) this.waterfall.focus(key);
    if (details || !this.details.element.hidden) {
      this.details.show(node);
      this.beside.classList.add("with-details");
      // On a narrow screen it lies over the lower half: the row is to be seen above it.
      if (getComputedStyle(this.details.element).position === "fixed") this.waterfall.row(key).scrollIntoView({ block: "start" });
      if (into) this.details.focus();
    }
    history.replaceState(null, "", this.here(key));
    return true;
  }

  unchoose() {
    const key = this.waterfall.selected;
    const inside = this.details.element.contains(document.activeElement);
    this.details.hide();
    this.beside.classList.remove("with-details");
    this.waterfall.select("");
    history.replaceState(null, "", this.here(""));
    if (inside) this.waterfall.focus(key);
  }

  nextError() {
    const key = this.tree.errorAfter(this.waterfall.selected || "");
    if (!key) return;
    this.choose(key);
    this.waterfall.row(key).scrollIntoView({ block: "center" });
    const node = this.tree.nodes.get(key);
    say(`${node.title} failed: ${node.error}`);
  }
}
