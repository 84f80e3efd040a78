// Everything that is known of one span.

import { h } from "./dom.js";
import { count, duration, moment, utc } from "./words.js";

function table(title, pairs) {
  if (!pairs.length) return [];
  return [h("h3", {}, title), h("dl", { class: "pairs" }, pairs.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]))];
}

export class Details {
  // `closed()` is told when its reader has seen enough.
  constructor(tree, { address, home, closed }) {
    Object.assign(this, { tree, address, home });
    this.element = h("aside", { class: "details", id: "details", "aria-labelledby": "details-title", hidden: true });
    this.close = closed;
  }

  hide() {
    this.element.hidden = true;
    this.element.replaceChildren();
    this.words = "";
  }

  show(node) {
    const words = JSON.stringify([node, this.tree.leads.get(node.key)?.length]);
    if (words === this.words) return; // nothing new: the reader's place in it stays
    this.words = words;
    const top = this.element.scrollTop;
    const inside = this.element.contains(document.activeElement);
    const began = this.tree.story.began + node.at * 1e3;
    const facts = [
      ["process", node.service],
      ["began", h("span", {}, moment(began), h("span", { class: "soft" }, ` (${utc(began)})`))],
      ["took", node.seconds === null ? node.state_words : duration(node.seconds)],
    ];
    if (node.error) facts.push(["failed", h("span", { class: "failed" }, node.error)]);
    const away = this.home?.(node);
    facts.push(["trace", away ? h("a", { href: away }, node.trace) : node.trace], ["span", node.key]);
    const leads = this.tree.leads.get(node.key) ?? [];
    const links = [
      ...node.links.map((link) => [link.words, this.address(link)]),
      ...leads.slice(0, 30).map((other) => [`to \`${other.title}\``, this.address({ span: other.key, trace: other.trace, name: other.name })]),
    ];
    this.element.replaceChildren(
      h("div", { class: "bar-of-title" },
        h("h2", { id: "details-title", tabindex: "-1" }, node.title),
        h("button", { type: "button", class: "close", onclick: () => this.close(), "aria-label": "Close (Esc)" }, "✕")),
      h("dl", { class: "pairs" }, facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
      ...(links.length ? [h("h3", {}, "Links"), h("ul", { class: "links" }, links.map(([text, href]) => h("li", {}, href ? h("a", { href }, text) : text)))] : []),
      ...(leads.length > 30 ? [h("p", { class: "soft" }, `and to ${count(leads.length - 30, "other")}`)] : []),
      ...table("Attributes", node.attributes),
      ...(node.events.length ? [h("h3", {}, "Events"), h("ol", { class: "events" }, node.events.map((event) =>
        h("li", {}, h("b", {}, event.name), h("span", { class: "soft" }, ` +${duration(event.at - node.at)}`),
          ...(event.attributes.length ? [h("dl", { class: "pairs" }, event.attributes.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]))] : []))))] : []),
      ...(node.more_events ? [h("p", { class: "soft" }, `and ${count(node.more_events, "event")} more`)] : []),
      ...table("Process", node.resource));
    this.element.hidden = false;
    this.element.scrollTop = top;
    if (inside) this.focus();
  }

  focus() {
    this.element.querySelector("h2").focus({ preventScroll: true });
  }
}
