// The data of the page, and what every part of the script uses.
const data = JSON.parse(document.getElementById("data").textContent);
const columns = data.columns;
const runCount = columns[0].cells.length;
const chosen = []; // runs side by side, in the order in which they were chosen
const view = { matching: [], sorted: null, falling: false, limit: 100 };

const $ = (id) => document.getElementById(id);
const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

const isNumber = (column) => !column.levels;
const valueAt = (column, run) => {
  const cell = column.cells[run];
  return cell === null || isNumber(column) ? cell : column.levels[cell];
};
const nameOf = (run) => valueAt(columns[0], run);
const headingOf = (column) => (column.unit ? `${column.title}, ${column.unit}` : column.title);

// As in wording.py.
const shown = (value) => {
  if (value === null || value === undefined) return "-";
  if (typeof value !== "number") return String(value);
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e15) return value.toLocaleString("en");
  if (size >= 1e15 || size < 1e-4) return value.toExponential(3);
  const digits = Math.max(0, 3 - Math.floor(Math.log10(size)));
  return value.toLocaleString("en", { maximumFractionDigits: digits });
};

const compareValues = (a, b) =>
  typeof a === "number" && typeof b === "number" ? a - b : collator.compare(String(a), String(b));

const distinctOf = (column, runs) => {
  const found = new Set();
  for (const run of runs) {
    const value = valueAt(column, run);
    if (value !== null) found.add(value);
  }
  return [...found].sort(compareValues);
};

// Attributes go through setAttribute and texts through text nodes: no value becomes markup.
const filled = (element, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
};
const make = (tag, attributes = {}, ...children) =>
  filled(document.createElement(tag), attributes, children);
const draw = (tag, attributes = {}, ...children) =>
  filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

const allRuns = [...Array(runCount).keys()];
for (const column of columns) column.distinct = distinctOf(column, allRuns);

const groupTitles = { parameter: "Parameters", run: "Runs", metric: "Metrics" };
const fillSelect = (select, choices, none) => {
  select.replaceChildren();
  if (none) select.append(make("option", { value: "" }, none));
  for (const [group, title] of Object.entries(groupTitles)) {
    const own = choices.filter((column) => column.group === group);
    if (!own.length) continue;
    const options = own.map((each) => make("option", { value: each.key }, headingOf(each)));
    select.append(make("optgroup", { label: title }, ...options));
  }
};
const columnOf = (key) => columns.find((each) => each.key === key) || null;
