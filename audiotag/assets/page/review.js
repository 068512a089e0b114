/* Review: which events are right, kept in the browser; and the thresholds that follow from it. */

const STORE = `audiotag ${about.id}`;
const ENOUGH = 50; /* decisions from which a label gets a threshold */
const PENALTY = .01; /* of the slope's square, so that a fit exists where scores separate */
const CLIP = 1e-4; /* scores are kept so far from 0 and 1 */
const decisions = stored();

function stored() {
  try {
    return new Map(Object.entries(JSON.parse(localStorage.getItem(STORE) ?? "{}")));
  } catch {
    byId("kept").textContent = "This browser keeps nothing: export before closing the page.";
    return new Map();
  }
}

function keyOf(event) {
  return [event.record.path, event.label, event.start].join("\t");
}

function decisionOf(event) {
  return decisions.get(keyOf(event)) ?? "";
}

/* Take a decision of the current event; then go to the next. */
function decide(decision) {
  const { event } = current;
  if (!event) return;
  if (decision) decisions.set(keyOf(event), decision);
  else decisions.delete(keyOf(event));
  keep();
  refresh(event.record);
  if (decision) goToEvent(step(1));
}

function keep() {
  try {
    localStorage.setItem(STORE, JSON.stringify(Object.fromEntries(decisions)));
  } catch {
    byId("kept").textContent = "This browser keeps nothing: export before closing the page.";
  }
  showReview();
}

function decided() {
  if (!decisions.size) return [];
  return records.flatMap((record) => record.events.filter(decisionOf));
}

function logit(score) {
  const inside = Math.min(Math.max(score, CLIP), 1 - CLIP);
  return Math.log(inside / (1 - inside));
}

function probability(fit, score) {
  return 1 / (1 + Math.exp(-(fit.level + fit.slope * logit(score))));
}

/* Logistic regression of right (1) or wrong (0) on the logit of the score, by Newton's method. */
function logisticFit(scores, rights) {
  const x = scores.map(logit);
  let level = 0, slope = 1;
  for (let step = 0; step < 100; step++) {
    let a = 0, b = -2 * PENALTY * slope, aa = 1e-9, ab = 0, bb = 2 * PENALTY;
    x.forEach((value, i) => {
      const p = 1 / (1 + Math.exp(-(level + slope * value))), w = p * (1 - p);
      a += rights[i] - p;
      b += (rights[i] - p) * value;
      aa += w;
      ab += w * value;
      bb += w * value * value;
    });
    const size = aa * bb - ab * ab;
    const up = Math.max(-2, Math.min(2, (bb * a - ab * b) / size));
    const over = Math.max(-2, Math.min(2, (aa * b - ab * a) / size));
    level += up;
    slope += over;
    if (Math.abs(up) + Math.abs(over) < 1e-9) break;
  }
  return { level, slope };
}

/* The lowest score from which on an event is right with a probability; null if there is none. */
function thresholdFor(fit, precision) {
  if (fit.slope <= 0) return probability(fit, .5) >= precision ? 0 : null;
  const value = (Math.log(precision / (1 - precision)) - fit.level) / fit.slope;
  const threshold = 1 / (1 + Math.exp(-value));
  return threshold > 1 - CLIP ? null : threshold;
}

function reviewOf(label, events, precision) {
  const sure = events.filter((event) => decisionOf(event) !== "unsure");
  const rights = sure.map((event) => decisionOf(event) === "right" ? 1 : 0);
  const found = { label, right: rights.filter(Boolean).length, sure: sure.length,
    unsure: events.length - sure.length };
  if (sure.length < ENOUGH) return { ...found, text: `${ENOUGH - sure.length} more to decide` };
  const threshold = thresholdFor(logisticFit(sure.map((x) => x.score), rights), precision);
  if (threshold === null) return { ...found, text: "no score is enough" };
  const kept = rights.filter((_, i) => sure[i].score >= threshold);
  const right = kept.filter(Boolean).length;
  return { ...found, threshold,
    text: `${threshold.toFixed(3)}: of those reviewed, ${right} of ${kept.length} are right` };
}

function reviews() {
  const byLabel = Map.groupBy
    ? Map.groupBy(decided(), (event) => event.label)
    : decided().reduce((found, event) =>
      found.set(event.label, [...found.get(event.label) ?? [], event]), new Map());
  const precision = Number(byId("precision").value);
  if (!(precision > 0 && precision < 1)) return [];
  return [...byLabel].map(([label, events]) => reviewOf(label, events, precision));
}

function showReview() {
  byId("decided").textContent = decisions.size ? `${decided().length} decided` : "nothing decided yet";
  if (!byId("review").open) return;
  const cells = (name, texts) => element("tr", {}, ...texts.map((x) => element(name, {}, `${x}`)));
  const rows = reviews().map((x) => cells("td", [visible(x.label), x.right, x.sure - x.right,
    x.unsure, x.text]));
  const titles = ["tag", "right", "wrong", "unsure", `threshold for this precision`];
  byId("thresholds").replaceChildren(...(rows.length
    ? [element("table", {}, element("thead", {}, cells("th", titles)),
      element("tbody", {}, ...rows))] : []));
}
