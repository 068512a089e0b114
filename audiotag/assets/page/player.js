/* The player: one for the page. It plays a recording from a time on, or an event. */

const AROUND = .3; /* seconds that are heard before and after an event */
const current = { record: null, event: null }; /* what keys act on */
const audio = document.querySelector("audio");
let playing = null, until = Infinity;

function canPlay(record) {
  return Boolean(record.preview ?? record.link);
}

/* Where the playhead of a record stands; null if it has none. */
function headTime(record) {
  return record === playing ? audio.currentTime : null;
}

function load(record) {
  if (record === playing) return;
  const before = playing;
  playing = record;
  byId("player").hidden = false;
  byId("trouble").textContent = "";
  byId("playing").textContent = record.name + (record.preview ? " (converted to play here)" : "");
  audio.src = record.preview ?? record.link;
  for (const other of [before, record])
    if (mounted.has(other)) placeHead(mounted.get(other), other);
}

/* Play a record from a time on; until another, if one is given. */
function playFrom(record, time, end = Infinity) {
  select(record, current.record === record ? current.event : null);
  if (!canPlay(record)) return;
  load(record);
  until = end;
  audio.currentTime = Math.max(0, time);
  audio.play().catch(() => {}); /* the reason comes as an event */
}

function playEvent(event) {
  playFrom(event.record, event.start - AROUND, event.end + AROUND);
}

function togglePlay(record) {
  if (record && record !== playing) return playFrom(record, record.seen.from);
  until = Infinity;
  if (!playing) return undefined;
  return audio.paused ? audio.play().catch(() => {}) : audio.pause();
}

function seekBy(seconds) {
  if (!playing) return;
  until = Infinity;
  audio.currentTime = Math.max(0, Math.min(audio.currentTime + seconds, playing.duration));
}

function select(record, event) {
  const before = current.record;
  current.record = record;
  current.event = event;
  for (const other of new Set([before, record])) if (other) refresh(other);
}

/* The next event that was asked for, or the previous one. */
function step(direction) {
  const start = current.record && placeOf.has(current.record) ? placeOf.get(current.record) : -1;
  let events = start < 0 ? [] : askedEvents(shown[start]);
  let next = direction > 0 ? 0 : events.length - 1;
  if (current.event && events.includes(current.event))
    next = events.indexOf(current.event) + direction;
  for (let i = start; ;) {
    if (events[next]) return events[next];
    i += direction;
    if (i < 0 || i >= shown.length) return null;
    events = askedEvents(shown[i]);
    next = direction > 0 ? 0 : events.length - 1;
  }
}

function goToEvent(event) {
  if (!event) return;
  select(event.record, event);
  reveal(event.record);
  showTime(event.record, event.start);
  if (!blockOf(event)) { /* its tag has no lane yet */
    event.record.isWhole = true;
    remake(event.record);
  }
  blockOf(event).focus({ preventScroll: true });
  playEvent(event);
}

function blockOf(event) {
  const number = event.record.events.indexOf(event);
  return mounted.get(event.record).querySelector(`[data-event="${number}"]`);
}

function goToRecord(direction) {
  const place = current.record ? (placeOf.get(current.record) ?? -1) + direction : 0;
  const record = shown[Math.max(0, Math.min(place, shown.length - 1))];
  if (!record) return;
  select(record, null);
  reveal(record);
  mounted.get(record).focus({ preventScroll: true });
}

function follow() {
  if (!playing) return;
  if (audio.currentTime >= until) {
    until = Infinity;
    audio.pause();
  }
  if (!audio.paused) showTime(playing, audio.currentTime);
  if (mounted.has(playing)) placeHead(mounted.get(playing), playing);
  if (!audio.paused) requestAnimationFrame(follow);
}

for (const name of ["play", "timeupdate", "seeked", "pause"]) audio.addEventListener(name, follow);
audio.addEventListener("error", () => {
  if (!playing) return;
  byId("trouble").textContent = `${playing.name} cannot be played here: the file is no longer `
    + "where it was, or the browser does not know its type.";
});
