// The spans of a story, a row each: a tree for the keyboard and for screen readers, bars for the eye.

import { h, keyed, setText } from "./dom.js";
import { count, duration } from "./words.js";

const KEYS = ["ArrowDown", "ArrowUp", "ArrowLeft", "ArrowRight", "Home", "End", "Enter", " "];

export class Waterfall {
  // `address(link)` is where a link leads, or null; `chosen(node, byKey)` is told of a choice.
  constructor(tree, { address, chosen }) {
    Object.assign(this, { tree, address, chosen });
    this.body = h("div", { role: "rowgroup", class: "rows" });
    const head = (words, name) => h("span", { role: "columnheader", class: name }, words);
    this.element = h("div", { role: "treegrid", class: "waterfall", id: "waterfall", "aria-label": "Spans", "aria-readonly": "true" },
      h("div", { role: "rowgroup" },
        h("div", { role: "row", class: "row head" },
          head("span", "what"), head("process", "service"), head("at", "at"), head("took", "took"), head("when", "bars"))),
      this.body);
    this.element.addEventListener("keydown", (event) => this.pressed(event));
    this.element.addEventListener("click", (event) => this.clicked(event));
    this.body.addEventListener("focusin", (event) => {
      const row = event.target.closest(".row");
      if (row) this.hold(row.dataset.key);
    });
    this.active = "";
    this.selected = "";
  }

  show() {
    this.shown = this.tree.rows();
    if (!this.shown.some((row) => row.key === this.active)) this.active = this.shown[0]?.key ?? "";
    keyed(this.body, this.shown, (row) => row.key, (row) => this.make(row), (element, row) => this.update(element, row));
    this.hold(this.active);
  }

  make(row) {
    const cell = (name, ...content) => h("span", { role: "gridcell", class: name }, ...content);
    if (row.item.fold) {
      return h("div", { role: "row", class: "row fold", tabindex: "-1" },
        cell("what", h("span", { class: "twist", "aria-hidden": "true" }, "+"), h("span", { class: "name" })));
    }
    return h("div", { role: "row", class: "row", tabindex: "-1", "data-service": row.item.service },
      cell("what",
        h("span", { class: "twist", "aria-hidden": "true" }), h("span", { class: "name" }),
        h("span", { class: "remarks" })),
      cell("service", row.item.service), cell("at"), cell("took"),
      cell("bars", h("span", { class: "line" }, h("span", { class: "bar" }))));
  }

  update(element, row) {
    const put = (name, words) => setText(element.querySelector(`.${name}`), words);
    element.setAttribute("aria-level", row.level);
    element.setAttribute("aria-posinset", row.position);
    element.setAttribute("aria-setsize", row.size);
    element.style.setProperty("--level", Math.min(row.level - 1, 12));
    if (row.item.fold) {
      put("name", this.tree.words(row.item, row.left) + (row.item.errors ? `, ${count(row.item.errors, "error")} in them` : ""));
      element.setAttribute("aria-expanded", "false");
      return;
    }
    const node = row.item;
    element.setAttribute("aria-selected", String(node.key === this.selected));
    element.classList.toggle("root", row.level === 1);
    element.classList.toggle("failed", Boolean(node.error));
    element.classList.toggle("unended", node.seconds === null);
    const closed = this.tree.closed.has(node.key);
    if (node.items.length) element.setAttribute("aria-expanded", String(!closed));
    else element.removeAttribute("aria-expanded");
    put("twist", node.items.length ? (closed ? "▸" : "▾") : "");
    put("name", node.title);
    put("at", `+${duration(node.at)}`);
    put("took", node.seconds === null ? (node.state === "open" ? "open" : "–") : duration(node.seconds));
    this.remark(element.querySelector(".remarks"), node);
    const [left, width] = this.tree.bar(node);
    const bar = element.querySelector(".bar");
    bar.style.setProperty("--left", `${(left * 100).toFixed(3)}%`);
    bar.style.width = `${(width * 100).toFixed(3)}%`;
  }

  remark(place, node) {
    const words = JSON.stringify([node.remarks, node.links]);
    if (place.dataset.words === words) return;
    place.dataset.words = words;
    const sign = { failed: "✕ ", open: "◌ " };
    place.replaceChildren(
      ...node.remarks.map(([text, sort]) => h("span", { class: `remark ${sort}` }, (sign[sort] ?? "") + text)),
      ...node.links.map((link) => {
        const href = this.address(link);
        return href ? h("a", { class: "remark link", href, tabindex: "-1" }, link.words) : h("span", { class: "remark" }, link.words);
      }));
  }

  hold(key) {
    this.active = key;
    for (const element of this.body.children) {
      const on = element.dataset.key === key;
      element.tabIndex = on ? 0 : -1;
      for (const link of element.querySelectorAll("a")) link.tabIndex = on ? 0 : -1;
    }
  }

  row(key) {
    return [...this.body.children].find((element) => element.dataset.key === key);
  }

  focus(key) {
    const row = this.row(key);
    if (!row) return;
    this.hold(key);
    row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "nearest" });
  }

  select(key) {
    this.selected = key;
    for (const element of this.body.children) {
      if (element.hasAttribute("aria-selected")) element.setAttribute("aria-selected", String(element.dataset.key === key));
    }
  }

  toggle(node, close) {
    if (close) this.tree.closed.add(node.key);
    else this.tree.closed.delete(node.key);
    this.show();
  }

  unfold(fold) {
    const first = this.tree.unfold(fold);
    this.show();
    if (first) this.focus(first);
  }

  clicked(event) {
    const element = event.target.closest(".rows > .row");
    if (!element || event.target.closest("a")) return;
    const { item } = this.shown.find((row) => row.key === element.dataset.key);
    if (item.fold) this.unfold(item);
    else if (event.target.closest(".twist") && item.items.length) this.toggle(item, !this.tree.closed.has(item.key));
    else this.chosen(item, false);
  }

  pressed(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("a")) return;
    const now = this.shown.findIndex((row) => row.key === this.active);
    if (now < 0 || !KEYS.includes(event.key)) return;
    event.preventDefault();
    const { item, parent } = this.shown[now];
    const go = (position) => this.focus(this.shown[Math.max(0, Math.min(position, this.shown.length - 1))].key);
    const closed = this.tree.closed.has(item.key);
    if (event.key === "ArrowDown") go(now + 1);
    else if (event.key === "ArrowUp") go(now - 1);
    else if (event.key === "Home") go(0);
    else if (event.key === "End") go(this.shown.length - 1);
    else if (item.fold && event.key !== "ArrowLeft") this.unfold(item);
    else if (event.key === "ArrowRight" && item.items.length) closed ? this.toggle(item, false) : go(now + 1);
    else if (event.key === "ArrowLeft" && !item.fold && item.items.length && !closed) this.toggle(item, true);
    else if (event.key === "ArrowLeft" && parent) this.focus(parent);
    else if (event.key === "Enter" || event.key === " ") this.chosen(item, true);
  }
}
