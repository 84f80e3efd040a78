// Numbers and times as people read them; durations as `af-otel trace` writes them.

import { h } from "./dom.js";

function digits(number) {
  return String(Number(number.toPrecision(3)));
}

export function duration(seconds) {
  if (seconds < 0) return `-${duration(-seconds)}`; // a clock was put back
  const whole = (unit) => Math.floor(seconds / unit);
  const rest = (unit, part) => String(Math.floor((seconds % unit) / part)).padStart(2, "0");
  if (seconds < 0.9995) return `${digits(seconds * 1e3)} ms`;
  if (seconds < 60) return `${digits(seconds)} s`;
  if (seconds < 3600) return `${whole(60)}m ${rest(60, 1)}s`;
  if (seconds < 86400) return `${whole(3600)}h ${rest(3600, 60)}m`;
  return `${whole(86400)}d ${rest(86400, 3600)}h`;
}

export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

export function quantity(value, unit) {
  if (unit === "s") return duration(value);
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6)) return value.toPrecision(3);
  return Number(value.toPrecision(4)).toLocaleString("en", { maximumSignificantDigits: 4 });
}

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const SHORT = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short" });

export function clock(milliseconds) {
  return TIME.format(milliseconds);
}

export function shortClock(milliseconds) {
  return SHORT.format(milliseconds);
}

export function day(milliseconds) {
  return DAY.format(milliseconds);
}

export function utc(milliseconds) {
  return `${new Date(milliseconds).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

// In the reader's own zone; UTC, as in logs, where the pointer rests.
export function moment(milliseconds) {
  const today = new Date().toDateString() === new Date(milliseconds).toDateString();
  const words = today ? clock(milliseconds) : `${day(milliseconds)}, ${clock(milliseconds)}`;
  return h("time", { datetime: new Date(milliseconds).toISOString(), title: utc(milliseconds) }, words);
}

export function ago(milliseconds, now = Date.now()) {
  const seconds = Math.max(0, (now - milliseconds) / 1e3);
  if (seconds < 10) return "just now";
  if (seconds < 60) return `${Math.floor(seconds / 10) * 10} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${count(Math.floor(seconds / 86400), "day")} ago`;
}
