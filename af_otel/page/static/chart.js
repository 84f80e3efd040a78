// Lines over time, as SVG: read with the pointer, with the arrow keys, or as the numbers below.

import { draw, h, keyed, setText } from "./dom.js";
import { ticks } from "./overview.js";
import { clock, day, quantity, shortClock } from "./words.js";

const HEIGHT = 130;
const LEFT = 52;
const RIGHT = 10;
const TOP = 8;
const BOTTOM = 20;

function heights(low, high, whole) {
  const rough = (high - low) / 3 || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
  if (whole) step = Math.max(1, Math.round(step));
  const made = [];
  for (let at = Math.floor(low / step) * step; at < high + step * 0.999; at += step) made.push(Number(at.toPrecision(12)));
  return made.length > 1 ? made : [low, low + step];
}

export class Chart {
  constructor(title, about = "") {
    this.cursor = null;
    this.plot = h("div", { class: "plot", tabindex: "0", role: "group", "aria-roledescription": "chart" });
    this.legend = h("ul", { class: "legend" });
    this.read = h("p", { class: "read", "aria-live": "polite" });
    this.none = h("p", { class: "none", hidden: true });
    this.element = h("figure", { class: "chart" },
      h("figcaption", {}, h("b", {}, title), about ? h("span", { class: "soft" }, ` ${about}`) : ""),
      this.plot, this.none, this.legend, this.read);
    this.title = title;
    this.plot.addEventListener("pointermove", (event) => this.point(event.offsetX));
    this.plot.addEventListener("pointerleave", () => this.stand(null));
    this.plot.addEventListener("blur", () => this.stand(null));
    this.plot.addEventListener("keydown", (event) => this.pressed(event));
    new ResizeObserver(() => this.render()).observe(this.plot);
  }

  // `series`: label and points [s, value], in order of time; `gap`: s without a point that end a line.
  show({ series, from, to, unit = "", whole = false, none = "Nothing yet.", gap = Infinity, zero = true }) {
    Object.assign(this, { series: series.filter((one) => one.points.length), from, to, unit, whole, gap, zero });
    this.none.hidden = this.series.length > 0;
    this.plot.hidden = this.legend.hidden = !this.none.hidden;
    setText(this.none, none);
    this.times = [...new Set(this.series.flatMap((one) => one.points.map(([at]) => at)))].sort((one, other) => one - other);
    this.render();
  }

  x(at) {
    return LEFT + ((at - this.from) / Math.max(this.to - this.from, 1e-9)) * (this.width - LEFT - RIGHT);
  }

  render() {
    this.width = this.plot.clientWidth;
    if (!this.series?.length || !this.width) return;
    const values = this.series.flatMap((one) => one.points.map(([, value]) => value));
    const low = Math.min(...(this.zero ? [0] : []), values.reduce((one, other) => Math.min(one, other)));
    const marks = heights(low, values.reduce((one, other) => Math.max(one, other)), this.whole);
    const y = (value) => HEIGHT - BOTTOM - ((value - marks[0]) / (marks.at(-1) - marks[0])) * (HEIGHT - TOP - BOTTOM);
    const long = this.to - this.from > 86400;
    const name = this.to - this.from < 300 ? clock : long ? day : shortClock;
    // Round hours are those of the reader's zone.
    const zone = new Date(this.to * 1e3).getTimezoneOffset() * 60;
    const grid = [
      ...marks.map((value) => [
        draw("line", { x1: LEFT, x2: this.width - RIGHT, y1: y(value), y2: y(value), class: "grid" }),
        draw("text", { x: LEFT - 6, y: y(value) + 4, class: "tick", "text-anchor": "end" }, quantity(value, this.unit)),
      ]),
      ...ticks(this.from - zone, this.to - zone, Math.max(2, Math.floor(this.width / 110))).map((at) => {
        const place = this.x(at + zone);
        return place > this.width - 24 || place < LEFT + 10 ? "" : draw("text", { x: place, y: HEIGHT - 4, class: "tick", "text-anchor": "middle" }, name((at + zone) * 1e3));
      }),
    ];
    const lines = this.series.map((one, number) => {
      let last = -Infinity;
      const path = one.points.map(([at, value]) => {
        const command = at - last > this.gap ? "M" : "L";
        last = at;
        return `${command}${this.x(at).toFixed(1)} ${y(value).toFixed(1)}`;
      }).join("");
      // A line of one point is seen by its round end.
      return draw("path", { d: path.replace(/^L/, "M") + (one.points.length === 1 ? "h0.1" : ""), class: `curve curve-${number % 6}` });
    });
    this.mark = draw("g", { class: "cursor" });
    this.plot.replaceChildren(draw("svg", { width: this.width, height: HEIGHT, viewBox: `0 0 ${this.width} ${HEIGHT}`, "aria-hidden": "true" }, ...grid.flat(), ...lines, this.mark));
    this.y = y;
    keyed(this.legend, this.series.map((one, number) => ({ ...one, number })), (one) => `${one.number} ${one.label}`,
      (one) => h("li", {},
        draw("svg", { width: 22, height: 8, "aria-hidden": "true" }, draw("path", { d: "M1 4h20", class: `curve curve-${one.number % 6}` })),
        h("span", { class: "label" }, one.label), h("b", { class: "value" })),
      () => {});
    this.stand(this.cursor, true);
  }

  // The values at a time, or the last ones.
  stand(at, quietly = false) {
    this.cursor = at;
    const values = (this.series ?? []).map((one) => {
      const near = at === null ? one.points.at(-1) : one.points.findLast(([when]) => when <= at + 1e-6);
      return near && (at === null || at - near[0] <= this.gap) ? near : null;
    });
    [...this.legend.children].forEach((item, number) => setText(item.querySelector(".value"), values[number] ? quantity(values[number][1], this.unit) : "–"));
    const words = (this.series ?? []).map((one, number) => `${one.label} ${values[number] ? quantity(values[number][1], this.unit) : "none"}`).join(", ");
    this.plot.setAttribute("aria-label", `${this.title}: ${words}. Arrow keys read earlier values.`);
    if (this.mark) {
      this.mark.replaceChildren(...(at === null ? [] : [
        draw("line", { x1: this.x(at), x2: this.x(at), y1: TOP, y2: HEIGHT - BOTTOM }),
        ...values.filter(Boolean).map(([when, value]) => draw("circle", { cx: this.x(when), cy: this.y(value), r: 3.5 })),
      ]));
    }
    if (!quietly) setText(this.read, at === null ? "" : `${clock(at * 1e3)}: ${words}`);
  }

  point(x) {
    const at = this.from + ((x - LEFT) / Math.max(this.width - LEFT - RIGHT, 1)) * (this.to - this.from);
    const near = this.times.reduce((best, one) => (Math.abs(one - at) < Math.abs(best - at) ? one : best), this.times[0]);
    this.stand(near ?? null);
  }

  pressed(event) {
    if (!this.times.length || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Escape") {
      this.stand(null);
      return;
    }
    const last = this.times.length - 1;
    const now = this.cursor === null ? last + 1 : this.times.indexOf(this.cursor);
    const next = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    this.stand(this.times[Math.max(0, Math.min(next, last))]);
  }
}
