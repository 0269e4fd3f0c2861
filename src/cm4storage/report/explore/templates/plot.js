// Any metric against any column, by groups.
const MOST_GROUPS = 8;
const SHAPES = [
  "M-4 0A4 4 0 1 0 4 0A4 4 0 1 0 -4 0Z", "M-4 -4H4V4H-4Z", "M0 -5L5 4H-5Z", "M0 -5.5L5.5 0L0 5.5L-5.5 0Z",
  "M0 5L5 -4H-5Z", "M-5 -1.5H-1.5V-5H1.5V-1.5H5V1.5H1.5V5H-1.5V1.5H-5Z", "M-5 -2.5H5V2.5H-5Z",
  "M-2.5 -5H2.5V5H-2.5Z", "M-3 0A3 3 0 1 0 3 0A3 3 0 1 0 -3 0Z",
];
const plot = { spots: [], at: -1 };

const settings = () => ({
  x: columnOf($("plot-x").value),
  y: columnOf($("plot-y").value),
  group: columnOf($("plot-group").value),
  logX: $("plot-log-x").checked && !$("plot-log-x").disabled,
  logY: $("plot-log-y").checked,
  fromZero: $("plot-zero").checked,
  lines: $("plot-lines").checked,
});

const pointsOf = ({ x, y, group, logX, logY }) => {
  const points = [];
  for (const run of view.matching) {
    const [across, up] = [valueAt(x, run), valueAt(y, run)];
    if (across === null || up === null) continue;
    if ((logX && isNumber(x) && across <= 0) || (logY && up <= 0)) continue;
    points.push({ run, across, up, group: group ? valueAt(group, run) : null });
  }
  return points;
};

// The groups with most points have a look of their own; the others share one.
const groupsOf = (points) => {
  const counts = new Map();
  for (const { group } of points) counts.set(group, (counts.get(group) || 0) + 1);
  const frequent = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a));
  const own = frequent.slice(0, MOST_GROUPS).sort((a, b) => compareValues(a ?? "", b ?? ""));
  const places = new Map(own.map((group, place) => [group, place]));
  const lookOf = (group) => places.get(group) ?? MOST_GROUPS;
  return { own, others: frequent.length - own.length, lookOf };
};

const meansOf = (points) => {
  const together = new Map();
  for (const { across, up } of points) {
    if (!together.has(across)) together.set(across, []);
    together.get(across).push(up);
  }
  return [...together.entries()]
    .sort(([a], [b]) => compareValues(a, b))
    .map(([across, values]) => ({
      across,
      count: values.length,
      mean: values.reduce((a, b) => a + b, 0) / values.length,
      least: values.reduce((a, b) => Math.min(a, b)),
      most: values.reduce((a, b) => Math.max(a, b)),
    }));
};

const markOf = (look, attributes = {}) =>
  draw("svg", { overflow: "visible", class: `mark f${look}`, ...attributes }, draw("path", { d: SHAPES[look] }));

const drawAxes = (field, scales, ticks, { x }) => {
  for (const tick of ticks.y) {
    const place = `${100 - scales.y.at(tick)}%`;
    field.append(draw("line", { class: "grid", x1: 0, x2: "100%", y1: place, y2: place }));
    field.append(draw("text", { class: "y", x: 0, dx: -8, y: place, dy: 4 }, shown(tick)));
  }
  ticks.x.forEach((tick, place) => {
    const minor = ticks.x.length > 5 && place % 2 ? " minor" : "";
    const text = shown(tick);
    const label = text.length > 16 ? `${text.slice(0, 15)}\u2026` : text;
    const at = `${scales.x.at(tick)}%`;
    const narrow = !isNumber(x) && text.length > 6 && place % 2 ? 31 : 18; // long names take turns
    field.append(draw("text", { class: `x${minor}`, x: at, y: "100%", dy: narrow }, label));
  });
  field.append(draw("line", { class: "base", x1: 0, x2: "100%", y1: "100%", y2: "100%" }));
};

const drawLines = (field, points, groups, scales) => {
  const inner = draw("svg", { width: "100%", height: "100%", viewBox: "0 0 100 100", preserveAspectRatio: "none" });
  for (const group of groups.own) {
    const means = meansOf(points.filter((each) => each.group === group));
    if (means.length < 2) continue;
    const places = means.map(({ across, mean }) => `${scales.x.at(across).toFixed(3)} ${(100 - scales.y.at(mean)).toFixed(3)}`);
    inner.append(draw("path", { class: `mean s${groups.lookOf(group)}`, d: `M${places.join("L")}` }));
  }
  field.append(inner);
};

const drawPicked = () => {
  document.querySelectorAll(".picked").forEach((each) => each.remove());
  for (const spot of plot.spots.filter((each) => chosen.includes(each.run))) {
    spot.field.append(draw("circle", { class: "picked", cx: `${spot.left}%`, cy: `${spot.top}%`, r: 9 }));
  }
};

const drawPlot = () => {
  const wanted = settings();
  $("plot-log-x").disabled = !isNumber(wanted.x);
  const points = pointsOf(wanted);
  const groups = groupsOf(points);
  hideSpot();
  plot.spots = [];
  $("canvas").replaceChildren();
  describe(wanted, points, groups);
  if (!points.length) return;
  const [xs, ys] = [points.map((each) => each.across), points.map((each) => each.up)];
  const scales = {
    x: scaleOf(wanted.x, xs, { log: wanted.logX, fromZero: false }),
    y: scaleOf(wanted.y, ys, { log: wanted.logY, fromZero: wanted.fromZero }),
  };
  const distinct = [...new Set(xs)].sort(compareValues);
  const ticks = { y: scales.y.ticks, x: isNumber(wanted.x) ? sweptTicks(scales.x, distinct) : scales.x.ticks };
  const field = draw("svg", { class: "field", width: "100%", height: "100%", "aria-hidden": "true" });
  drawAxes(field, scales, ticks, wanted);
  if (wanted.lines) drawLines(field, points, groups, scales);
  for (const { run, across, up, group } of points) {
    const [left, top] = [scales.x.at(across), 100 - scales.y.at(up)];
    field.append(markOf(groups.lookOf(group), { x: `${left}%`, y: `${top}%` }));
    plot.spots.push({ run, left, top, field });
  }
  plot.spots.sort((a, b) => a.left - b.left || b.top - a.top);
  $("canvas").append(field);
  drawPicked();
};

const describe = (wanted, points, groups) => {
  const { x, y, group } = wanted;
  const by = group ? `, by ${headingOf(group)}` : "";
  $("plot-title").textContent = `${y.title} against ${x.title}${by}`;
  const left = view.matching.length - points.length;
  const without = left ? `; ${shown(left)} without such values, or not above 0 on a log axis` : "";
  $("plot-summary").textContent = `${shown(points.length)} runs${without}`;
  $("plot-y-title").textContent = headingOf(y);
  $("plot-x-title").textContent = headingOf(x);
  const names = group ? [...groups.own.map((each) => [groups.lookOf(each), shown(each)])] : [];
  if (groups.others) names.push([MOST_GROUPS, `${groups.others} others`]);
  $("plot-legend").replaceChildren(
    ...names.map(([look, text]) => {
      const key = draw("svg", { class: `key f${look}`, width: 14, height: 14, viewBox: "-7 -7 14 14", "aria-hidden": "true" });
      key.append(draw("path", { d: SHAPES[look] }));
      return make("li", {}, key, text);
    }),
  );
  drawValues(wanted, points, groups);
  drawKnees(wanted, points, groups);
};

const drawValues = ({ x, y, group }, points, groups) => {
  const titles = [...(group ? [headingOf(group)] : []), headingOf(x), "Runs", `Mean ${headingOf(y)}`, "Least", "Most"];
  const head = make("tr", {}, ...titles.map((each) => make("th", { scope: "col" }, each)));
  const body = make("tbody");
  for (const own of groups.own) {
    for (const each of meansOf(points.filter((point) => point.group === own)).slice(0, 300)) {
      const texts = [...(group ? [own] : []), each.across, each.count, each.mean, each.least, each.most];
      const [first, ...others] = texts.map(shown);
      body.append(make("tr", {}, make("th", { scope: "row" }, first), ...others.map((text) => make("td", {}, text))));
    }
  }
  $("plot-values").replaceChildren(make("thead", {}, head), body);
};

// The knee: the least value across whose mean is within 5 % of the best mean.
const kneeOf = (means, better) => {
  const all = means.map((each) => each.mean);
  const best = better === "more" ? Math.max(...all) : Math.min(...all);
  const isNear = (mean) => (better === "more" ? mean >= best * 0.95 : mean <= best * 1.05);
  return { knee: means.find((each) => isNear(each.mean)), best: means.find((each) => each.mean === best) };
};

const drawKnees = ({ x, y, group }, points, groups) => {
  const lines = [];
  for (const own of isNumber(x) && y.better ? groups.own : []) {
    const means = meansOf(points.filter((point) => point.group === own));
    if (means.length < 3) continue;
    const { knee, best } = kneeOf(means, y.better);
    const who = group ? `${shown(own)}: ` : "";
    const at = (each) => `${x.title} = ${shown(each.across)}`;
    const text =
      knee === best
        ? `the best mean is at ${at(best)}, and no smaller value comes within 5 % of it`
        : `${at(knee)} is the least whose mean (${shown(knee.mean)}) comes within 5 % of the best (${shown(best.mean)} at ${shown(best.across)})`;
    lines.push(make("li", {}, who + text));
  }
  const why = !y.better
    ? "neither more nor less of this metric is better"
    : "needs three or more values of a number across";
  $("knees").replaceChildren(...(lines.length ? lines : [make("li", {}, `None: ${why}.`)]));
};

// Values at the pointer and at the arrow keys.
const hideSpot = () => {
  document.querySelectorAll(".on-spot").forEach((each) => each.remove());
  plot.at = -1;
  $("tip").hidden = true;
};

const showSpot = (place) => {
  hideSpot();
  plot.at = place;
  const { run, left, top, field } = plot.spots[place];
  field.append(draw("circle", { class: "on-spot", cx: `${left}%`, cy: `${top}%`, r: 7 }));
  const { x, y, group } = settings();
  const lines = [x, y, ...(group ? [group] : [])].map((each) => `${headingOf(each)}: ${shown(valueAt(each, run))}`);
  const tip = $("tip");
  tip.textContent = [nameOf(run), ...lines].join("\n");
  tip.hidden = false;
  tip.style.left = "0"; // else its width is what the window leaves at its last place
  const frame = field.getBoundingClientRect();
  const [px, py] = [frame.left + (left / 100) * frame.width, frame.top + (top / 100) * frame.height];
  const box = tip.getBoundingClientRect();
  const right = document.documentElement.clientWidth - box.width - 8;
  tip.style.left = `${Math.max(8, Math.min(px - box.width / 2, right)) + window.scrollX}px`;
  const above = py - box.height - 12;
  tip.style.top = `${(above > 0 ? above : py + 12) + window.scrollY}px`;
};

const nearestSpot = (event) => {
  const frame = plot.spots[0].field.getBoundingClientRect();
  let [best, least] = [-1, 40 * 40]; // within 40 pixels
  plot.spots.forEach(({ left, top }, place) => {
    const across = frame.left + (left / 100) * frame.width - event.clientX;
    const up = frame.top + (top / 100) * frame.height - event.clientY;
    const distance = across * across + up * up;
    if (distance < least) [best, least] = [place, distance];
  });
  return best;
};

const onPointer = (event) => {
  if (!plot.spots.length) return;
  const place = nearestSpot(event);
  if (place < 0) hideSpot();
  else if (place !== plot.at) showSpot(place);
};

const onPlotKey = (event) => {
  const last = plot.spots.length - 1;
  if (last < 0) return;
  const moves = {
    ArrowLeft: Math.max(0, plot.at - 1), ArrowRight: Math.min(last, plot.at + 1),
    ArrowDown: Math.max(0, plot.at - 1), ArrowUp: Math.min(last, plot.at + 1),
    Home: 0, End: last,
  };
  if (event.key === "Escape") hideSpot();
  if (event.key in moves) showSpot(moves[event.key]);
  else if (event.key === "Enter" && plot.at >= 0) toggle(plot.spots[plot.at].run);
  else return;
  event.preventDefault();
};
