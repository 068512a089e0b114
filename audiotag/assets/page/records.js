/* The recordings: read from the page, searched and sorted. */

const ACTING = /[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/;
const TO_SHOW = new RegExp(`${ACTING.source}|\\p{Surrogate}`, "gu");
const about = JSON.parse(byId("about").textContent);
const records = byId("records").textContent.trim().split("\n").filter(Boolean)
  .map((line, number) => prepared(JSON.parse(line), number));
const asked = { text: "", labels: new Set(), least: 0, sort: "order" };

function byId(id) {
  return document.getElementById(id);
}

/* What would act on a terminal or turn a line round, and what is no Unicode, as an escape. */
function visible(text) {
  return text.replace(TO_SHOW, escaped);
}

function escaped(character) {
  const code = character.codePointAt(0);
  if (code === 10 || code === 13) return code === 10 ? "\\n" : "\\r";
  if (code >= 0xdc80 && code <= 0xdcff) return `\\x${(code - 0xdc00).toString(16)}`;
  const digits = code < 256 ? 2 : 4;
  return `\\${digits === 2 ? "x" : "u"}${code.toString(16).padStart(digits, "0")}`;
}

function prepared(record, number) {
  record.number = number;
  record.name = visible(record.path);
  record.tags ??= [];
  record.events ??= [];
  record.duration ??= 0;
  record.seen = { from: 0, to: record.duration };
  record.events.forEach((event) => { event.record = record; });
  const labels = new Set([...record.tags, ...record.events].map((tag) => tag.label));
  record.labels = [...labels];
  record.text = [record.name, ...record.labels.map(visible)].join("\n").toLowerCase();
  return record;
}

function hasText(label) {
  return visible(label).toLowerCase().includes(asked.text);
}

/* Whether a tag or event is among what was asked for. */
function isAsked(tag) {
  if (tag.score < asked.least) return false;
  if (asked.labels.size) return asked.labels.has(tag.label);
  return !asked.text || hasText(tag.label);
}

/* The events of a record that were asked for: all of them where its name alone was found. */
function askedEvents(record) {
  const found = record.events.filter(isAsked);
  const isNamed = !asked.labels.size && asked.text && !record.labels.some(hasText);
  return isNamed ? record.events.filter((event) => event.score >= asked.least) : found;
}

function isShown(record) {
  if (!record.text.includes(asked.text)) return false;
  const heard = (label) => [...record.tags, ...record.events]
    .some((tag) => (label === null || tag.label === label) && tag.score >= asked.least);
  if (![...asked.labels].every(heard)) return false;
  return asked.least === 0 || heard(null);
}

function bestScore(record) {
  const scores = [...record.tags, ...record.events].filter(isAsked).map((tag) => tag.score);
  return scores.reduce((best, score) => Math.max(best, score), -1);
}

/* The records that were asked for, in the order that was asked for. */
function shownRecords() {
  const shown = records.filter(isShown);
  const names = new Intl.Collator(undefined, { numeric: true });
  const orders = {
    order: null,
    name: (a, b) => names.compare(a.name, b.name),
    score: (a, b) => b.best - a.best,
    duration: (a, b) => b.duration - a.duration,
  };
  if (asked.sort === "score") shown.forEach((record) => { record.best = bestScore(record); });
  return orders[asked.sort] ? shown.sort(orders[asked.sort]) : shown;
}

/* The labels of records with how many have them, the most frequent first. */
function labelCounts(shown) {
  const counts = new Map();
  for (const record of shown)
    for (const label of record.labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]);
}

function clock(seconds, digits = 1) {
  const scale = 10 ** digits, whole = Math.round(seconds * scale) / scale;
  const minutes = Math.floor(whole / 60), hours = Math.floor(minutes / 60);
  const rest = (whole - 60 * minutes).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  if (!hours) return `${minutes}:${rest}`;
  return `${hours}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}
