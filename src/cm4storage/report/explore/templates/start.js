// Where everything begins; the address keeps what was chosen, so that a view can be sent to others.
const KEPT = { y: "plot-y", x: "plot-x", by: "plot-group", find: "query" };
const TICKED = { logx: "plot-log-x", logy: "plot-log-y", zero: "plot-zero", join: "plot-lines" };

const numberColumns = columns.filter((each) => isNumber(each) && each.distinct.length);
const plotted = columns.filter((each) => each.key !== "why" && each.distinct.length);

const firstOf = (keys, among) => keys.map(columnOf).find((each) => among.includes(each));

// How many values a column has within the workload that has most runs: what was swept has several.
const sweptValues = (column) => {
  const workload = columnOf("workload");
  const groups = new Map();
  for (const run of allRuns) {
    const name = workload ? valueAt(workload, run) : null;
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(run);
  }
  const [largest] = [...groups.values()].sort((a, b) => b.length - a.length);
  return distinctOf(column, largest).length;
};

const chooseAtFirst = () => {
  const y = firstOf(["samples_per_s", "save_gib_per_s", "load_gib_per_s", "au_mean_percent"], numberColumns);
  const swept = columns.filter((each) => each.group === "parameter" && each.shown && each.distinct.length > 1);
  const numbers = swept.filter(isNumber).map((each) => [sweptValues(each), each]);
  const most = numbers.reduce((a, b) => (b[0] > a[0] ? b : a), [0, null])[1];
  const x = most || firstOf(["num_accelerators"], numberColumns) || columnOf("workload") || columns[0];
  const told = ["submitter", "system", "workload", "model"].map(columnOf);
  const by = [...told, ...swept].find(
    (each) => each && each !== x && each.distinct.length > 1 && each.distinct.length <= MOST_GROUPS,
  );
  $("plot-y").value = (y || numberColumns.find((each) => each.group === "metric") || numberColumns[0]).key;
  $("plot-x").value = x.key;
  $("plot-group").value = by ? by.key : "";
  const [low, high] = [x.distinct[0], x.distinct[x.distinct.length - 1]];
  $("plot-log-x").checked = isNumber(x) && low > 0 && high / low >= 16;
};

const readAddress = () => {
  const kept = new URLSearchParams(location.hash.slice(1));
  for (const [name, id] of Object.entries(KEPT)) {
    if (!kept.has(name)) continue;
    const element = $(id);
    const before = element.value;
    element.value = kept.get(name);
    if (element.tagName === "SELECT" && element.selectedIndex < 0) element.value = before;
  }
  for (const [name, id] of Object.entries(TICKED)) {
    if (kept.has(name)) $(id).checked = kept.get(name) === "1";
  }
};

const writeAddress = () => {
  const kept = new URLSearchParams();
  for (const [name, id] of Object.entries(KEPT)) if ($(id).value) kept.set(name, $(id).value);
  for (const [name, id] of Object.entries(TICKED)) kept.set(name, $(id).checked ? "1" : "0");
  try {
    history.replaceState(null, "", `#${kept}`);
  } catch {
    // A browser may forbid it for files; the page works without.
  }
};

const onPlotChange = () => {
  drawPlot();
  writeAddress();
};

const onFilterChange = () => {
  view.limit = 100;
  applyFilter();
  drawTable();
  drawPlot();
};

const listen = () => {
  let waiting = 0;
  $("query").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      onFilterChange();
      writeAddress();
    }, 150);
  });
  $("reset").addEventListener("click", () => {
    $("query").value = "";
    for (const select of $("facets").querySelectorAll("select")) select.value = "";
    onFilterChange();
    writeAddress();
  });
  for (const id of ["plot-x", "plot-y", "plot-group", ...Object.values(TICKED)]) {
    $(id).addEventListener("change", onPlotChange);
  }
  $("more").addEventListener("click", () => {
    view.limit = Infinity;
    drawTable();
  });
  $("differs").addEventListener("change", drawSide);
  $("clear").addEventListener("click", () => [...chosen].forEach(toggle));
  const canvas = $("canvas");
  canvas.addEventListener("pointermove", onPointer);
  canvas.addEventListener("pointerdown", onPointer);
  canvas.addEventListener("pointerleave", hideSpot);
  canvas.addEventListener("blur", hideSpot);
  canvas.addEventListener("keydown", onPlotKey);
  canvas.addEventListener("click", (event) => {
    const place = plot.spots.length ? nearestSpot(event) : -1;
    if (place >= 0 && event.detail === 2) toggle(plot.spots[place].run);
  });
};

for (const element of document.querySelectorAll(".live")) element.hidden = false;
if (numberColumns.length) {
  fillSelect($("plot-y"), numberColumns);
  fillSelect($("plot-x"), plotted);
  fillSelect($("plot-group"), plotted.filter((each) => each.distinct.length <= 60 && each.distinct.length > 1), "none");
  chooseAtFirst();
} else {
  for (const name of ["plot"]) document.querySelector(`[aria-labelledby="${name}"]`).hidden = true;
}
makeFacets(onFilterChange);
makeColumnBoxes();
readAddress();
listen();
applyFilter();
drawTable();
drawSide();
if (numberColumns.length) drawPlot();
