/* The list of recordings: only those in view, or near it, are made. */

const NEAR = 800; /* pixels above and below the view that are made too */
const mounted = new Map(); /* articles by record */
let shown = [], tops = new Float64Array(1), heights = new Map(), placeOf = new Map();
const feed = byId("feed");

function estimated(record) {
  if (record.error) return 70;
  const tags = laneTags(record), count = shownLanes(record, tags).length || 1;
  const more = count < tags.length ? 40 : 0, isNarrow = feed.clientWidth < 660;
  const lane = isNarrow ? 51 : 27;
  return 70 + (record.picture ? 99 : 0) + (record.warning ? 30 : 0) + more + lane * count;
}

function heightOf(record) {
  let height = heights.get(record);
  if (height === undefined) heights.set(record, height = estimated(record));
  return height;
}

/* Show these records, from the top. */
function showList(list) {
  shown = list;
  placeOf = new Map(list.map((record, place) => [record, place]));
  for (const made of mounted.values()) made.remove();
  mounted.clear();
  measure();
  render();
}

function measure() {
  tops = new Float64Array(shown.length + 1);
  for (let i = 0; i < shown.length; i++) tops[i + 1] = tops[i] + heightOf(shown[i]);
  feed.style.height = `${tops[shown.length]}px`;
}

/* The first place whose end lies below a height. */
function placeAt(height) {
  let low = 0, high = shown.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (tops[middle + 1] <= height) low = middle + 1;
    else high = middle;
  }
  return low;
}

function render() {
  const top = -feed.getBoundingClientRect().top;
  const wanted = new Set([current.record].filter((record) => placeOf.has(record)));
  const end = top + innerHeight + NEAR;
  for (let i = placeAt(top - NEAR); i < shown.length && tops[i] < end; i++) wanted.add(shown[i]);
  for (const [record, made] of mounted)
    if (!wanted.has(record)) {
      made.remove();
      mounted.delete(record);
    }
  const fresh = [...wanted].filter((record) => !mounted.has(record));
  for (const record of fresh) mount(record);
  for (const record of fresh) place(mounted.get(record), record);
  settle(fresh, top);
}

/* Add an article where a screen reader expects it: after those above it. */
function mount(record) {
  const made = row(record, placeOf.get(record), shown.length);
  mounted.set(record, made);
  made.style.top = `${tops[placeOf.get(record)]}px`;
  const after = [...feed.children].find((other) =>
    placeOf.get(records[other.dataset.record]) > placeOf.get(record));
  feed.insertBefore(made, after ?? null);
}

/* Take the true heights of new articles; what is in view stays where it is. */
function settle(fresh, top) {
  let isChanged = false;
  const sizes = fresh.map((record) => [record, mounted.get(record).offsetHeight]);
  for (const [record, height] of sizes)
    if (height !== heights.get(record)) {
      heights.set(record, height);
      isChanged = true;
    }
  if (!isChanged) return;
  const first = placeAt(Math.max(0, top)), before = tops[first];
  measure();
  for (const [record, made] of mounted) made.style.top = `${tops[placeOf.get(record)]}px`;
  if (top > 0 && tops[first] !== before) scrollBy({ top: tops[first] - before });
}

/* Scroll a record into view, unless it is there. */
function reveal(record) {
  if (!placeOf.has(record)) return;
  const header = document.querySelector("header");
  const covered = getComputedStyle(header).position === "sticky" ? header.offsetHeight : 0;
  const player = byId("player").offsetHeight;
  const box = feed.getBoundingClientRect().top, i = placeOf.get(record);
  const top = box + tops[i], bottom = box + tops[i + 1];
  if (top < covered) scrollBy({ top: top - covered - 8 });
  else if (bottom > innerHeight - player)
    scrollBy({ top: Math.min(top - covered - 8, bottom - innerHeight + player + 8) });
  render();
}

/* Make an article anew, with other lanes. */
function remake(record) {
  mounted.get(record)?.remove();
  mounted.delete(record);
  heights.delete(record);
  measure();
  render();
}

/* Show an article's events as they are now. */
function refresh(record) {
  const made = mounted.get(record);
  for (const block of made?.querySelectorAll(".event") ?? [])
    describe(block, record.events[block.dataset.event]);
  made?.classList.toggle("current", record === current.record);
}

let isWaiting = false;
addEventListener("scroll", () => {
  if (isWaiting) return;
  isWaiting = true;
  requestAnimationFrame(() => {
    isWaiting = false;
    render();
  });
}, { passive: true });

let width = 0;
new ResizeObserver(() => {
  if (feed.clientWidth === width) return;
  width = feed.clientWidth;
  heights = new Map();
  showList(shown);
}).observe(feed);
