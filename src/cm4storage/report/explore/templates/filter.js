// Which runs are shown: by words and comparisons, and by chosen values.
const TERM = /([\w.]+)(<=|>=|!=|=|<|>)("[^"]*"|\S+)|"([^"]*)"|(\S+)/g;
const haystacks = [];

const haystackOf = (run) => {
  haystacks[run] ??= columns
    .map((column) => valueAt(column, run))
    .filter((value) => value !== null)
    .join("\n")
    .toLowerCase();
  return haystacks[run];
};

const namedColumn = (name) => {
  const wanted = name.toLowerCase();
  const exact = columns.find((each) => each.key.toLowerCase() === wanted);
  if (exact) return exact;
  const ends = columns.filter((each) => each.key.toLowerCase().endsWith(`.${wanted}`));
  return ends.length === 1 ? ends[0] : null;
};

const holds = (value, operator, wanted) => {
  if (value === null) return operator === "!=";
  const number = Number(wanted);
  const both = typeof value === "number" && wanted !== "" && !Number.isNaN(number);
  const order = both ? value - number : compareValues(String(value), wanted);
  return {
    "=": order === 0, "!=": order !== 0, "<": order < 0, ">": order > 0,
    "<=": order <= 0, ">=": order >= 0,
  }[operator];
};

// Returns conditions, or the name of the column that does not exist.
const parsed = (query) => {
  const conditions = [];
  for (const [, name, operator, given, phrase, word] of query.matchAll(TERM)) {
    if (name) {
      const column = namedColumn(name);
      if (!column) return { unknown: name };
      const wanted = given.replace(/^"|"$/g, "");
      conditions.push((run) => holds(valueAt(column, run), operator, wanted));
    } else {
      const text = (phrase ?? word).toLowerCase();
      if (text) conditions.push((run) => haystackOf(run).includes(text));
    }
  }
  return { conditions };
};

const facetColumns = columns
  .filter((each) => each.group !== "metric" && !["run", "why"].includes(each.key))
  .filter((each) => each.distinct.length > 1 && each.distinct.length <= 30)
  .sort((a, b) => (a.group === "parameter") - (b.group === "parameter") || b.shown - a.shown)
  .slice(0, 40);

const makeFacets = (onChange) => {
  for (const column of facetColumns) {
    const select = make("select", { "data-key": column.key });
    select.append(make("option", { value: "" }, "any"));
    column.distinct.forEach((value, place) => {
      select.append(make("option", { value: String(place) }, shown(value)));
    });
    select.addEventListener("change", onChange);
    $("facets").append(make("label", {}, headingOf(column), select));
  }
};

const facetConditions = () =>
  [...$("facets").querySelectorAll("select")]
    .filter((select) => select.value !== "")
    .map((select) => {
      const column = columnOf(select.dataset.key);
      const wanted = column.distinct[Number(select.value)];
      return (run) => valueAt(column, run) === wanted;
    });

const applyFilter = () => {
  const { conditions, unknown } = parsed($("query").value);
  const facets = facetConditions();
  const all = [...(conditions || []), ...facets];
  view.matching = allRuns.filter((run) => all.every((condition) => condition(run)));
  const counted = `${shown(view.matching.length)} of ${shown(runCount)} runs`;
  const which = `no single column is called ${unknown}; its comparison is left out`;
  $("count").textContent = unknown ? `${which}. ${counted}` : counted;
};
