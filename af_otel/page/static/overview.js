// All traces of a story on one line of time; a press leads to the trace's rows.

import { draw, h } from "./dom.js";
import { clock, duration } from "./words.js";

const HEIGHT = 26;

// Ticks at round times, as many as there is room for.
export function ticks(from, to, most) {
  const steps = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400, 172800, 604800];
  const step = steps.find((one) => (to - from) / one <= most) ?? steps.at(-1);
  const made = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) made.push(at);
  return made;
}

export class Overview {
  constructor(tree, chosen) {
    this.tree = tree;
    // The rows below say the same, and can be reached by key.
    this.line = h("div");
    this.element = h("div", { class: "overview", "aria-hidden": "true" }, this.line);
    this.element.addEventListener("click", (event) => {
      const mark = event.target.closest("rect[data-key]");
      if (mark) chosen(this.tree.nodes.get(mark.getAttribute("data-key")));
    });
    new ResizeObserver(() => this.show()).observe(this.line);
  }

  show() {
    const width = this.line.clientWidth;
    const { story, windows, nodes } = this.tree;
    if (!story || !width) return;
    const all = Math.max(...[...windows.values()].map(([, to]) => to), 1e-3);
    const failed = new Set([...nodes.values()].filter((node) => node.error).map((node) => node.root));
    const x = (at) => (at / all) * (width - 4) + 2;
    const mark = ([key, [from, to]]) => {
      const node = nodes.get(key);
      const left = Math.min(x(from), width - 5);
      const place = { x: left, y: failed.has(key) ? 3 : 6, width: Math.max(x(to) - left, 3), height: failed.has(key) ? 17 : 11, rx: 2 };
      return draw("rect", { ...place, "data-key": key, "data-service": node.service, class: failed.has(key) ? "mark failed" : "mark" },
        draw("title", {}, `${node.title}, +${duration(from)}, took ${duration(to - from)}`));
    };
    const marks = [...windows.entries()].sort((one, other) => failed.has(one[0]) - failed.has(other[0])).map(mark);
    const lines = ticks(0, all, Math.max(2, Math.floor(width / 90))).map((at, number) => [
      draw("line", { x1: x(at), x2: x(at), y1: 0, y2: HEIGHT, class: "grid" }),
      draw("text", { x: x(at), y: HEIGHT + 13, class: "tick", "text-anchor": number && x(at) > width - 40 ? "end" : number ? "middle" : "start" },
        number ? `+${duration(at)}` : clock(story.began)),
    ]);
    this.line.replaceChildren(draw("svg", { width, height: HEIGHT + 18, viewBox: `0 0 ${width} ${HEIGHT + 18}` }, ...lines, ...marks));
  }
}
