/* What the page does when something is typed, clicked or chosen. */

const CHIPS = 16;
const ZOOM = { in: .5, out: 2, all: null };

function update() {
  showList(shownRecords());
  const events = shown.reduce((sum, record) => sum + askedEvents(record).length, 0);
  byId("found").textContent = `${shown.length.toLocaleString("en")} of `
    + `${records.length.toLocaleString("en")} files, ${events.toLocaleString("en")} events`;
  const counts = labelCounts(shown), chosen = counts.filter(([label]) => asked.labels.has(label));
  const others = counts.filter(([label]) => !asked.labels.has(label)).slice(0, CHIPS);
  const missing = [...asked.labels].filter((label) => !chosen.some(([name]) => name === label));
  byId("chips").replaceChildren(...[...missing.map((label) => [label, 0]), ...chosen, ...others]
    .map(([label, count]) => element("button",
      { "data-label": label, "aria-pressed": String(asked.labels.has(label)) },
      visible(label), element("small", {}, ` ${count.toLocaleString("en")}`))));
}

function toggleLabel(label) {
  if (!asked.labels.delete(label)) asked.labels.add(label);
  scrollTo({ top: 0 });
  update();
  [...byId("chips").children].find((chip) => chip.dataset.label === label)?.focus();
}

function onType() {
  asked.text = byId("search").value.trim().toLowerCase();
  asked.least = Number(byId("least").value) || 0;
  asked.sort = byId("sort").value;
  scrollTo({ top: 0 });
  update();
}

function timeUnder(pointer, box, record) {
  const { left, width } = box.getBoundingClientRect();
  return record.seen.from + (pointer.clientX - left) / width * (record.seen.to - record.seen.from);
}

function onClick(click) {
  const chip = click.target.closest("[data-label]");
  if (chip) return toggleLabel(chip.dataset.label);
  const article = click.target.closest("article");
  if (!article) return undefined;
  const record = records[article.dataset.record];
  const action = click.target.closest("[data-action]")?.dataset.action;
  if (action === "play") return togglePlay(record);
  if (action === "lanes") return showLanes(record, !record.isWhole);
  if (action) return zoom(record, ZOOM[action], headTime(record));
  const block = click.target.closest(".event"), bar = click.target.closest(".over-time");
  if (block) {
    select(record, record.events[block.dataset.event]);
    if (click.detail === 0) return playEvent(current.event); /* pressed with a key */
  }
  return bar ? playFrom(record, timeUnder(click, bar, record)) : undefined;
}

function showLanes(record, isWhole) {
  record.isWhole = isWhole;
  remake(record);
  mounted.get(record)?.querySelector("[data-action=lanes]")?.focus({ preventScroll: true });
}

const KEYS = {
  " ": () => togglePlay(current.record),
  ArrowLeft: (key) => seekBy(key.shiftKey ? -5 : -1),
  ArrowRight: (key) => seekBy(key.shiftKey ? 5 : 1),
  j: () => goToEvent(step(1)),
  k: () => goToEvent(step(-1)),
  J: () => goToRecord(1),
  K: () => goToRecord(-1),
  r: () => decide("right"),
  w: () => decide("wrong"),
  u: () => decide("unsure"),
  x: () => decide(""),
  "+": () => zoomCurrent(ZOOM.in),
  "-": () => zoomCurrent(ZOOM.out),
  0: () => zoomCurrent(ZOOM.all),
  "/": () => byId("search").focus(),
  "?": () => byId("keys").showModal(),
};

function zoomCurrent(factor) {
  const { record, event } = current;
  if (record) zoom(record, factor, event ? (event.start + event.end) / 2 : headTime(record));
}

/* Whether a key has a meaning of its own where it was pressed. */
function isTaken(key) {
  const { target } = key;
  if (byId("keys").open || key.ctrlKey || key.metaKey || key.altKey) return true;
  if (target.matches("input, select, audio")) return true;
  return key.key === " " && target.matches("button, summary");
}

addEventListener("keydown", (key) => {
  if (key.key === "Escape" && key.target.matches("input")) key.target.blur();
  if (isTaken(key) || !(key.key in KEYS)) return;
  key.preventDefault();
  KEYS[key.key](key);
});
addEventListener("wheel", (wheel) => {
  const bar = wheel.target.closest?.(".over-time");
  if (!bar || !wheel.ctrlKey) return;
  wheel.preventDefault();
  const record = records[bar.closest("article").dataset.record];
  zoom(record, 1.2 ** Math.sign(wheel.deltaY), timeUnder(wheel, bar, record));
}, { passive: false });
byId("feed").addEventListener("click", onClick);
byId("chips").addEventListener("click", onClick);
for (const id of ["search", "least", "sort"]) byId(id).addEventListener("input", onType);
byId("show-keys").addEventListener("click", () => byId("keys").showModal());
byId("precision").addEventListener("input", showReview);
byId("review").addEventListener("toggle", showReview);
for (const button of document.querySelectorAll("[data-decide]"))
  button.addEventListener("click", () => decide(button.dataset.decide));
byId("forget").addEventListener("click", () => {
  if (!confirm(`Forget ${decisions.size} decisions?`)) return;
  decisions.clear();
  keep();
  for (const record of mounted.keys()) refresh(record);
});
update();
showReview();
