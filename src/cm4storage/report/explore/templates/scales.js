// From values to places, 0 to 100, and where the ticks are.
const niceStep = (least) => {
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= least * (1 - 1e-9));
};

const linearScale = (low, high, fromZero) => {
  let [start, end] = [fromZero && low > 0 ? 0 : low, fromZero && high < 0 ? 0 : high];
  if (start === end) {
    const margin = Math.abs(start) / 2 || 1;
    [start, end] = [start - margin, end + margin];
  }
  const step = niceStep((end - start) / 5);
  start = Math.floor(start / step + 1e-9) * step;
  end = Math.ceil(end / step - 1e-9) * step;
  const ticks = [];
  for (let place = 0; place <= Math.round((end - start) / step); place += 1) {
    ticks.push(Number((start + place * step).toPrecision(12)));
  }
  return { ticks, at: (value) => ((value - start) / (end - start)) * 100 };
};

const logScale = (low, high) => {
  const ratio = high / low;
  const factors = ratio <= 1000 ? [1, 2, 5] : [1];
  let [start, end] = [low / 1.15, high * 1.15];
  if (ratio < 2) [start, end] = [low / 1.5, high * 1.5];
  let ticks = [];
  const first = Math.floor(Math.log10(start));
  for (let power = first; power <= Math.ceil(Math.log10(end)); power += 1) {
    ticks.push(...factors.map((each) => Number((each * 10 ** power).toPrecision(12))));
  }
  ticks = ticks.filter((each) => each >= start && each <= end);
  const span = Math.log(end / start);
  return { ticks, at: (value) => (Math.log(value / start) / span) * 100 };
};

const levelScale = (levels) => {
  const places = new Map(levels.map((level, place) => [level, place]));
  const stride = Math.ceil(levels.length / 10);
  return {
    ticks: levels.filter((_, place) => place % stride === 0),
    at: (value) => ((places.get(value) + 0.5) / levels.length) * 100,
  };
};

// Few values that were swept are the best ticks there are, as far as their labels have room.
const sweptTicks = (scale, values) => {
  if (values.length > 10) return scale.ticks;
  let last = -Infinity;
  return values.filter((value) => {
    const place = scale.at(value);
    if (place - last < 7) return false;
    last = place;
    return true;
  });
};

const scaleOf = (column, values, { log, fromZero }) => {
  if (!isNumber(column)) return levelScale([...new Set(values)].sort(compareValues));
  const low = values.reduce((a, b) => Math.min(a, b));
  const high = values.reduce((a, b) => Math.max(a, b));
  return log ? logScale(low, high) : linearScale(low, high, fromZero);
};
