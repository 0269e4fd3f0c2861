// The table: sorted, cut to what a screen can show, with a box to choose each run.
const shownColumns = () => columns.filter((each) => each.shown);

const sortedRuns = () => {
  const runs = [...view.matching];
  if (!view.sorted) return runs;
  const sign = view.falling ? -1 : 1;
  return runs.sort((a, b) => {
    const [left, right] = [valueAt(view.sorted, a), valueAt(view.sorted, b)];
    if (left === null || right === null) return (left === null) - (right === null);
    return compareValues(left, right) * sign;
  });
};

// A long name may go on in the next line after a dot or an underscore, as in wording.py.
const breakable = (name) => name.split(/(?<=[._])/).flatMap((part) => [make("wbr"), part]).slice(1);

const headOf = (column) => {
  const isSorted = view.sorted === column;
  const order = isSorted ? (view.falling ? "descending" : "ascending") : "none";
  const button = make("button", { type: "button", "data-sort": column.key }, ...breakable(headingOf(column)));
  button.addEventListener("click", () => {
    view.falling = isSorted && !view.falling;
    view.sorted = column;
    drawTable();
    document.querySelector(`[data-sort="${CSS.escape(column.key)}"]`).focus();
  });
  const look = isNumber(column) ? null : "text";
  return make("th", { scope: "col", "aria-sort": order, class: look }, button);
};

const boxOf = (run) => {
  const box = make("input", { type: "checkbox", "aria-label": `${nameOf(run)} side by side` });
  box.checked = chosen.includes(run);
  box.dataset.run = run;
  box.addEventListener("change", () => toggle(run));
  return make("label", { class: "pick" }, box);
};

const rowOf = (run, wanted) => {
  const link = data.links[run];
  const name = link ? make("a", { href: link }, nameOf(run)) : nameOf(run);
  const row = make("tr", { class: chosen.includes(run) ? "chosen" : null });
  const named = make("div", { class: "named" }, boxOf(run), make("span", {}, name));
  row.append(make("th", { scope: "row" }, named));
  for (const column of wanted) {
    const look = isNumber(column) ? null : "text";
    row.append(make("td", { class: look }, shown(valueAt(column, run))));
  }
  return row;
};

const drawTable = () => {
  const [first, ...others] = [columns[0], ...shownColumns().filter((each) => each !== columns[0])];
  const runs = sortedRuns();
  const table = $("table");
  table.tHead.replaceChildren(make("tr", {}, headOf(first), ...others.map(headOf)));
  const rows = runs.slice(0, view.limit).map((run) => rowOf(run, others));
  table.tBodies[0].replaceChildren(...rows);
  const left = runs.length - rows.length;
  $("more").hidden = left === 0;
  $("more").textContent = `Show the other ${shown(left)} runs`;
};

const makeColumnBoxes = () => {
  for (const [group, title] of Object.entries(groupTitles)) {
    const own = columns.filter((each) => each.group === group && each !== columns[0]);
    if (!own.length) continue;
    const set = make("fieldset", {}, make("legend", {}, title));
    for (const column of own) {
      const box = make("input", { type: "checkbox" });
      box.checked = column.shown;
      box.addEventListener("change", () => {
        column.shown = box.checked;
        drawTable();
      });
      set.append(make("label", { class: "tick" }, box, headingOf(column)));
    }
    $("columns").append(set);
  }
};
