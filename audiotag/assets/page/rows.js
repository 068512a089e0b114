/* A recording on the page: its name, spectrogram, and when each tag was heard. */

const STEPS = [.1, .2, .5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400];
const TICK_WIDTH = 80; /* pixels at least from one tick to the next */
const SHORTEST_VIEW = .5; /* seconds */
const LANES = 10; /* tags that have a lane before all are asked for */

/* An element with attributes and children. A text is shown as text, never read as markup. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes))
    if (value !== undefined && value !== null) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/* Text with what was searched for marked. */
function marked(text) {
  const parts = document.createDocumentFragment(), lower = text.toLowerCase();
  let place = 0;
  const isSame = lower.length === text.length; /* some letters have longer small ones */
  for (let next; isSame && asked.text && (next = lower.indexOf(asked.text, place)) >= 0;) {
    const end = next + asked.text.length;
    parts.append(text.slice(place, next), element("mark", {}, text.slice(next, end)));
    place = end;
  }
  parts.append(text.slice(place));
  return parts;
}

function row(record, place, count) {
  const id = `name-${record.number}`;
  const made = element("article", {
    "aria-posinset": place + 1, "aria-setsize": count, "aria-labelledby": id, tabindex: -1,
    class: record === current.record ? "current" : null,
  });
  made.dataset.record = record.number;
  const length = record.error ? "" : element("small", {}, ` ${clock(record.duration)}`);
  made.append(element("div", { class: "title" },
    element("h2", { id }, marked(record.name), length),
    record.error ? "" : element("div", {}, ...buttons(record))));
  if (record.error) made.append(element("p", { class: "error" }, visible(record.error)));
  if (record.warning) made.append(element("p", { class: "warning" }, visible(record.warning)));
  if (!record.error) made.append(lanes(record));
  return made;
}

function buttons(record) {
  const button = (action, text, label) =>
    element("button", { "data-action": action, "aria-label": `${label}: ${record.name}` }, text);
  return [
    canPlay(record) ? button("play", "▶", "Play or pause")
      : element("small", {}, "cannot be played here"),
    " ", button("out", "−", "Zoom out"), " ", button("in", "+", "Zoom in"), " ",
    button("all", "⤢", "Show all"),
  ];
}

function lanes(record) {
  const made = element("div", { class: "lanes" });
  made.append(element("div", { class: "over-time axis", "aria-hidden": "true" }));
  if (record.picture) made.append(picture(record));
  const tags = laneTags(record), seen = shownLanes(record, tags);
  for (const tag of seen) made.append(laneLabel(record, tag), lane(record, tag));
  if (seen.length < tags.length || record.isWhole)
    made.append(element("p", {}, element("button", { "data-action": "lanes" },
      record.isWhole ? "fewer tags" : `all ${tags.length} tags`)));
  if (!record.tags.length && !record.events.length)
    made.append(element("p", {}, about.no_tag));
  made.append(element("div", { class: "heads" }, element("div", { class: "playhead" })));
  return made;
}

function picture(record) {
  return element("div", {
    class: "over-time picture", role: "slider", tabindex: 0, "data-seek": true,
    "aria-label": `Position in ${record.name}`, "aria-valuemin": 0,
    "aria-valuemax": record.duration, "aria-valuenow": 0, "aria-valuetext": clock(0),
  }, element("img", { src: record.picture, alt: "", draggable: "false" }));
}

/* A file's tags; then those that only parts of it have, each with its highest score. */
function laneTags(record) {
  const others = new Map();
  for (const event of record.events)
    if (!record.tags.some((tag) => tag.label === event.label))
      if (!(others.get(event.label)?.score >= event.score)) others.set(event.label, event);
  return [...record.tags, ...[...others.values()].sort((a, b) => b.score - a.score)];
}

/* Of many tags, those asked for and then the first ones, unless all were asked for. */
function shownLanes(record, tags) {
  if (record.isWhole || tags.length <= LANES) return tags;
  const isChosen = (tag) => (asked.labels.size > 0 || asked.text) && isAsked(tag);
  const chosen = tags.filter(isChosen);
  return [...chosen, ...tags.filter((tag) => !isChosen(tag))].slice(0, Math.max(LANES, chosen.length));
}

function laneLabel(record, tag) {
  const name = element("button", {
    "data-label": tag.label, "aria-pressed": String(asked.labels.has(tag.label)),
    title: tag.guess ? "a guess, below its threshold" : "show only files with this tag",
  }, marked(visible(tag.label) + (tag.guess ? " ?" : "")));
  return element("div", { class: `lane-label${tag.guess ? " guess" : ""}` }, name,
    element("small", {}, tag.score.toFixed(2)));
}

function lane(record, tag) {
  const made = element("div", { class: "over-time track" });
  record.events.forEach((event, number) => {
    if (event.label === tag.label) made.append(block(event, number));
  });
  return made;
}

function block(event, number) {
  const made = element("button", { class: "event", tabindex: -1, "data-event": number });
  made.style.setProperty("--strength", `${Math.round(30 + 70 * event.score)}%`);
  describe(made, event);
  return made;
}

/* What is said of an event, and what was decided of it. */
function describe(made, event) {
  const decision = decisionOf(event);
  const times = `${clock(event.start)} to ${clock(event.end)}`;
  const text = `${visible(event.label)} ${event.score.toFixed(2)}, ${times}`;
  made.title = decision ? `${text}: ${decision}` : text;
  made.setAttribute("aria-label", made.title);
  made.textContent = { right: "✓", wrong: "✗", unsure: "?" }[decision] ?? "";
  made.dataset.decision = decision;
  made.classList.toggle("current", event === current.event);
  made.tabIndex = event === current.event ? 0 : -1;
  const isElsewhere = (asked.labels.size > 0 || asked.text) && !askedEvents(event.record).includes(event);
  made.classList.toggle("elsewhere", isElsewhere || event.score < asked.least);
}

/* Put a row's blocks, picture and ticks where they belong in what is seen of the recording. */
function place(made, record) {
  const { from, to } = record.seen, length = to - from || 1;
  const share = (seconds) => `${100 * seconds / length}%`;
  const axis = made.querySelector(".axis");
  if (!axis) return;
  axis.replaceChildren(...ticks(from, to, axis.clientWidth).map(([time, text]) => {
    const tick = element("span", {}, text);
    tick.style.left = share(time - from);
    return tick;
  }));
  for (const block of made.querySelectorAll(".event")) {
    const { start, end } = record.events[block.dataset.event];
    block.style.left = share(start - from);
    block.style.width = share(end - start);
  }
  const image = made.querySelector(".picture img");
  if (image) {
    image.style.left = share(-from);
    image.style.width = share(record.pictured);
  }
  placeHead(made, record);
}

function ticks(from, to, width) {
  const most = Math.max(1, Math.floor(width / TICK_WIDTH));
  const step = STEPS.find((x) => (to - from) / x <= most) ?? STEPS.at(-1);
  const found = [];
  for (let i = Math.ceil(from / step - 1e-9); i * step < to; i++)
    found.push([i * step, clock(i * step, step < 1 ? 1 : 0)]);
  return found;
}

function placeHead(made, record) {
  const head = made.querySelector(".playhead");
  if (!head) return;
  const { from, to } = record.seen, time = headTime(record);
  head.hidden = time === null;
  head.style.left = `${100 * ((time ?? 0) - from) / (to - from || 1)}%`;
  const slider = made.querySelector("[role=slider]");
  if (slider && time !== null) {
    slider.setAttribute("aria-valuenow", time.toFixed(1));
    slider.setAttribute("aria-valuetext", clock(time));
  }
}

/* Zoom to a part that is `factor` times as long, around a time; show all if it is null. */
function zoom(record, factor, around) {
  const { from, to } = record.seen, old = to - from;
  const length = factor === null ? record.duration
    : Math.min(record.duration, Math.max(old * factor, Math.min(SHORTEST_VIEW, record.duration)));
  const middle = around ?? (from + to) / 2;
  const start = middle - (middle - from) * (length / (old || 1));
  moveView(record, Math.max(0, Math.min(start, record.duration - length)), length);
}

function moveView(record, start, length) {
  record.seen = { from: start, to: start + length };
  const made = mounted.get(record);
  if (made) place(made, record);
}

/* Bring a time into what is seen of the recording. */
function showTime(record, time) {
  const { from, to } = record.seen, length = to - from;
  if (time >= from && time <= to) return;
  const start = Math.max(0, Math.min(time - .1 * length, record.duration - length));
  moveView(record, start, length);
}
