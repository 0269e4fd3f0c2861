// Chosen runs side by side.
const toggle = (run) => {
  const place = chosen.indexOf(run);
  if (place < 0) chosen.push(run);
  else chosen.splice(place, 1);
  for (const box of $("table").querySelectorAll("input[data-run]")) {
    box.checked = chosen.includes(Number(box.dataset.run));
    box.closest("tr").classList.toggle("chosen", box.checked);
  }
  drawSide();
  drawPicked();
};

const changeOf = (column, run) => {
  const [base, value] = [valueAt(column, chosen[0]), valueAt(column, run)];
  const isFirst = run === chosen[0];
  if (column.group !== "metric" || isFirst || base === null || value === null || base === 0) return "";
  const percent = ((value - base) / Math.abs(base)) * 100;
  const text = `${percent >= 0 ? "+" : "\u2212"}${Math.abs(percent).toFixed(1)} %`;
  const isGain = column.better === "more" ? percent > 0 : percent < 0;
  const look = !column.better || percent === 0 ? null : isGain ? "gain" : "loss";
  return make("span", { class: look }, ` ${text}`);
};

const sideRow = (column, onlyDiffering) => {
  const values = chosen.map((run) => valueAt(column, run));
  if (values.every((value) => value === null)) return null;
  const differs = values.some((value) => value !== values[0]);
  if (onlyDiffering && !differs) return null;
  const row = make("tr", { class: differs && !onlyDiffering ? "differs" : null });
  row.append(make("th", { scope: "row" }, ...breakable(headingOf(column))));
  chosen.forEach((run, place) => {
    row.append(make("td", { class: "text" }, shown(values[place]), changeOf(column, run)));
  });
  return row;
};

const sideHead = (run) => {
  const button = make("button", { type: "button", "aria-label": `take ${nameOf(run)} out` });
  button.append("\u00d7");
  button.addEventListener("click", () => {
    toggle(run);
    $("compare").scrollIntoView({ block: "nearest" });
  });
  return make("th", { scope: "col", class: "text out" }, `${nameOf(run)} `, button);
};

const drawSide = () => {
  $("compare-none").hidden = chosen.length > 0;
  $("compare-some").hidden = chosen.length === 0;
  const onlyDiffering = $("differs").checked && chosen.length > 1;
  const head = make("tr", {}, make("th", { scope: "col", class: "text" }, "Run"));
  head.append(...chosen.map(sideHead));
  const body = make("tbody");
  for (const [group, title] of Object.entries(groupTitles)) {
    const own = columns.filter((each) => each.group === group && each !== columns[0]);
    const rows = own.map((column) => sideRow(column, onlyDiffering)).filter(Boolean);
    if (!rows.length) continue;
    const span = { scope: "rowgroup", colspan: chosen.length + 1 };
    body.append(make("tr", { class: "group" }, make("th", span, title)), ...rows);
  }
  $("side").replaceChildren(make("thead", {}, head), body);
};
