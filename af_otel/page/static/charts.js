// What runs and how long it takes, and the curves of users' trainings.

import { ask } from "./api.js";
import { Chart } from "./chart.js";
import { h, keyed } from "./dom.js";

const POINTS = 180;
const MOST_SERIES = 60;
const MOST_CURVES = 12;
const TIMES = [["900", "last 15 minutes"], ["3600", "last hour"], ["21600", "last 6 hours"], ["86400", "last day"]];
const OWN = new Set(["__name__", "job", "instance", "training", "model", "otel_scope_name", "otel_scope_version", "service_name", "service_namespace", "service_instance_id"]);

function points(values) {
  return values.map(([at, value]) => [Number(at), Number(value)]).filter(([, value]) => Number.isFinite(value));
}

// One entry a training and value, the ones that moved last first; a line for each set of other labels.
export function curves(result) {
  const made = new Map();
  for (const { metric, values } of result) {
    const name = metric.__name__.replace("user_training_", "");
    const key = `${metric.training ?? ""} ${name}`;
    const curve = made.get(key) ?? { key, training: metric.training ?? "training", name, series: [], last: 0 };
    made.set(key, curve);
    const others = Object.entries(metric).filter(([label]) => !OWN.has(label)).map(([, value]) => value);
    const line = { label: others.join(", ") || name, points: points(values), instance: metric.instance ?? "" };
    if (!line.points.length) continue;
    curve.series.push(line);
    curve.last = Math.max(curve.last, line.points.at(-1)[0]);
  }
  const order = (one) => (one.name.startsWith("loss") ? 0 : 1);
  return [...made.values()].filter((curve) => curve.series.length)
    .sort((one, other) => Math.round((other.last - one.last) / 60) || order(one) - order(other) || one.key.localeCompare(other.key));
}

export class Charts {
  constructor(host, about) {
    this.about = about;
    this.choice = h("select", { id: "window", onchange: () => this.changed?.() },
      TIMES.map(([seconds, words]) => h("option", { value: seconds, selected: seconds === "3600" }, words)));
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
        const chart = new Chart(`${curve.training}: ${curve.name}`);
        this.curves.set(curve.key, chart);
        return chart.element;
      },
      (_, curve) => {
        const times = curve.series.flatMap((one) => [one.points[0][0], one.points.at(-1)[0]]);
        const from = Math.min(...times);
        this.curves.get(curve.key).show({ series: curve.series.slice(0, 8), from, to: Math.max(...times, from + 1), zero: false });
      });
    for (const key of this.curves.keys()) if (!shown.some((curve) => curve.key === key)) this.curves.delete(key);
  }
}
