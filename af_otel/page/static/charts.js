// What runs and how long it takes, and the curves of users' trainings.

import { ask } from "./api.js";
import { Chart } from "./chart.js";
import { h, keyed } from "./dom.js";
import { clock } from "./words.js";

const POINTS = 180;
const MOST_SERIES = 60;
const MOST_CURVES = 12;
const TIMES = [["900", "last 15 minutes"], ["3600", "last hour"], ["21600", "last 6 hours"], ["86400", "last day"]];
const OWN_RUN = ["job", "instance", "training", "model"];
const OWN = new Set([...OWN_RUN, "__name__", "otel_scope_name", "otel_scope_version", "service_name", "service_namespace", "service_instance_id"]);

function points(values) {
  return values.map(([at, value]) => [Number(at), Number(value)]).filter(([, value]) => Number.isFinite(value));
}

// One entry a run and value, the ones that moved last first; a line for each set of other labels.
export function curves(result) {
  const made = new Map();
  for (const { metric, values } of result) {
    const name = metric.__name__.replace("user_training_", "");
    const run = OWN_RUN.map((label) => metric[label] ?? "").join(" ");
    const key = `${run} ${name}`;
    const curve = made.get(key) ?? { key, training: metric.training ?? "training", name, series: [], first: Infinity, last: 0 };
    made.set(key, curve);
    const others = Object.entries(metric).filter(([label]) => !OWN.has(label)).map(([, value]) => value);
    const line = { label: others.join(", ") || name, points: points(values) };
    if (!line.points.length) continue;
    curve.series.push(line);
    curve.first = Math.min(curve.first, line.points[0][0]);
    curve.last = Math.max(curve.last, line.points.at(-1)[0]);
  }
  const order = (one) => (one.name.startsWith("loss") ? 0 : 1);
  return [...made.values()].filter((curve) => curve.series.length)
    .sort((one, other) => Math.round(other.first - one.first) || order(one) - order(other) || one.key.localeCompare(other.key));
}

export class Charts {
  constructor(host, about) {
    this.about = about;
    this.choice = h("select", { id: "window", onchange: () => this.changed?.() },
      TIMES.map(([seconds, words]) => h("option", { value: seconds, selected: seconds === "900" }, words)));
    this.charts = about.charts.map((chart) => ({ ...chart, drawn: new Chart(chart.title, chart.about) }));
    this.training = h("div", { class: "charts", id: "trainings" });
    this.more = h("p", { class: "soft", hidden: true });
    this.curves = new Map();
    host.append(
      h("div", { class: "bar-of-title" }, h("h2", { id: "charts-title" }, "Live"),
        h("label", {}, h("span", { class: "unseen" }, "Charts of the "), this.choice)),
      h("div", { class: "charts" }, this.charts.map((chart) => chart.drawn.element)),
      (this.trainings = h("div", { hidden: true }, h("h2", {}, "Trainings"), this.training, this.more)));
  }

  async look() {
    const window = Number(this.choice.value);
    const to = Math.floor(Date.now() / 1e3);
    const from = to - window;
    const step = Math.max(5, Math.ceil(window / POINTS));
    const before = `${Math.max(300, 4 * step)}s`;
    const range = { start: from, end: to, step };
    const line = async ([label, expression]) => {
      const query = expression.replaceAll("$before", before);
      const { data } = await ask("prometheus/api/v1/query_range", { ...range, query });
      return { label, points: points(data.result[0]?.values ?? []) };
    };
    const drawn = this.charts.map(async (chart) => [chart, await Promise.all(chart.lines.map(line))]);
    const [answers, trained] = await Promise.all([Promise.all(drawn), this.trained(window, range)]);
    for (const [{ drawn: chart, unit, whole, none }, series] of answers) chart.show({ series, from, to, unit, whole, none, gap: 3 * step });
    this.showTrained(trained);
  }

  // Each point as it was logged; were that too much, as many as can be told apart.
  async trained(window, range) {
    try {
      const query = `${this.about.trainings}[${window}s]`;
      return curves((await ask("prometheus/api/v1/query", { query, limit: MOST_SERIES })).data.result);
    } catch (trouble) {
      if (trouble.server === "page" || (trouble.server === "Prometheus" && trouble.hint.includes("facility"))) throw trouble;
      return curves((await ask("prometheus/api/v1/query_range", { ...range, query: this.about.trainings, limit: MOST_SERIES })).data.result);
    }
  }

  showTrained(found) {
    const shown = found.slice(0, MOST_CURVES);
    this.trainings.hidden = !shown.length;
    this.more.hidden = found.length <= shown.length;
    this.more.textContent = this.more.hidden ? "" : `and ${found.length - shown.length} more in Prometheus`;
    keyed(this.training, shown, (curve) => curve.key,
      (curve) => {
        const chart = new Chart(`${curve.training}: ${curve.name}`, `from ${clock(curve.first * 1e3)} on`);
        this.curves.set(curve.key, chart);
        return chart.element;
      },
      (_, curve) => {
        const series = curve.series.sort((one, other) => one.label.localeCompare(other.label)).slice(0, 6);
        this.curves.get(curve.key).show({ series, from: curve.first, to: Math.max(curve.last, curve.first + 1), zero: false });
      });
    for (const key of this.curves.keys()) if (!shown.some((curve) => curve.key === key)) this.curves.delete(key);
  }
}
