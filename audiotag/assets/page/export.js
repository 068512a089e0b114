/* Tables for other programs: the list that is shown, and decisions. */

const COLUMNS = ["path", "start", "end", "label", "mid", "score", "error", "warning", "guess",
  "peak", "mean"];
const FORMULA = "=+\\-@\\t\\r\\n＝＋－＠"; /* a cell that begins with one is a formula */

/* A cell in which no spreadsheet sees a formula, as `audiotag tag` writes it. */
function cell(name, value) {
  if (value === undefined || value === null) return "";
  if (typeof value !== "string") return String(value);
  const starts = new RegExp(`(^|[;\\t\\r\\n])(?=[${FORMULA}'])`, "g");
  const text = name === "path" ? value.replace(new RegExp(`^(?=[${FORMULA}])(?!-$)`), "./")
    : value.replace(starts, "$1'");
  return /[,;"\t\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/* Bytes of names that are no Unicode, escaped as `audiotag tag` does. */
function unicode(text) {
  return text.replace(/(\\*)(\p{Surrogate})|(\\+)(?=ud)/gu, (_, before, half, slashes) =>
    half ? `${before}${before}\\u${half.charCodeAt(0).toString(16)}` : slashes + slashes);
}

function table(columns, rows) {
  const line = (row) => columns.map((name) => unicode(cell(name, row[name]))).join(",");
  return [columns.join(","), ...rows.map(line)].join("\n") + "\n";
}

/* The path from the root, so that the table may lie anywhere. */
function fullPath(path) {
  const isFull = /^([/\\]|[A-Za-z]:|[a-z0-9]+:\/\/|-$)/.test(path);
  return about.folder && !isFull ? `${about.folder}/${path}` : path;
}

function listRows() {
  return shown.flatMap((record) => {
    const whole = { path: fullPath(record.path), warning: record.warning };
    if (record.error) return [{ ...whole, error: record.error }];
    const events = askedEvents(record).map(({ record: _, ...event }) =>
      ({ ...whole, ...event, guess: event.guess ? "true" : "" }));
    return events.length ? events : [{ ...whole, start: 0, end: record.duration }];
  });
}

function decisionRows() {
  return decided().map((event) => {
    const { record, ...values } = event;
    return { path: fullPath(record.path), ...values, decision: decisionOf(event) };
  });
}

function save(name, text, type) {
  const link = element("a", { download: name, href: URL.createObjectURL(new Blob([text], { type })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

byId("export-list").addEventListener("click", () => save("tags.csv", table(COLUMNS, listRows()),
  "text/csv"));
byId("export-csv").addEventListener("click", () => save("decisions.csv",
  table([...COLUMNS.filter((name) => !["error", "warning"].includes(name)), "decision"],
    decisionRows()), "text/csv"));
byId("export-json").addEventListener("click", () => save("decisions.json",
  `${JSON.stringify({ made_with: about.made_with, decisions: decisionRows() }, null, 1)}\n`,
  "application/json"));
