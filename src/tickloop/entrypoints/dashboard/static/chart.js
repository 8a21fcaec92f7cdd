// One chart per mount. Streamlit calls the function again with each change of the data; the chart stays and takes only
// what is new: the whole series when it is another one or there is a hole, else an update of its last points.
const BUY = "#0f9d76";
const SELL = "#d64550";
const FORECAST = "#e08e0b";
const ACTUAL = "#7c8aa5";
const QUIET = { priceLineVisible: false, lastValueVisible: false };
const LABELLED = 4;
const MAX_KEPT = 3; // times the window that was sent: then the chart starts anew, so that a day's page does not grow

const charts = new WeakMap();

function library() {
  if (window.LightweightCharts) return window.LightweightCharts;
  const loaded = (resolve) => () => resolve(window.LightweightCharts);
  return new Promise((resolve) => window.addEventListener("tickloop-library", loaded(resolve), { once: true }));
}

const decimals = (price) => (Math.abs(price) >= 1000 ? 0 : Math.abs(price) >= 10 ? 2 : 4);
const shown = (price) =>
  price.toLocaleString("en-US", { minimumFractionDigits: decimals(price), maximumFractionDigits: decimals(price) });

const LAYOUTS = {
  market(lib, chart) {
    const volume = chart.addSeries(lib.HistogramSeries, { ...QUIET, priceScaleId: "", priceFormat: { type: "volume" } });
    volume.priceScale().applyOptions({ scaleMargins: { top: 0.84, bottom: 0 } });
    const candles = chart.addSeries(lib.CandlestickSeries, {
      upColor: BUY, downColor: SELL, wickUpColor: BUY, wickDownColor: SELL, borderVisible: false,
    });
    const actual = chart.addSeries(lib.LineSeries, { ...QUIET, color: ACTUAL, lineWidth: 1, crosshairMarkerVisible: false });
    const forecast = chart.addSeries(lib.LineSeries, { ...QUIET, color: FORECAST, lineWidth: 2 });
    return { series: { volume, candles, actual, forecast }, marks: lib.createSeriesMarkers(candles, []) };
  },
  purse(lib, chart) {
    const equity = chart.addSeries(lib.BaselineSeries, {
      lineWidth: 2, topLineColor: BUY, topFillColor1: `${BUY}44`, topFillColor2: `${BUY}08`,
      bottomLineColor: SELL, bottomFillColor1: `${SELL}08`, bottomFillColor2: `${SELL}44`,
    });
    return { series: { equity } };
  },
};

// Rows as they are sent -> points of the library, for each series of a layout.
const POINTS = {
  candles: (data) => data.bars.map(([time, open, high, low, close]) => ({ time, open, high, low, close })),
  volume: (data) => data.bars.map(([time, open, , , close, value]) => ({ time, value, color: `${close >= open ? BUY : SELL}55` })),
  actual: (data) => data.bars.filter((bar) => bar[6] !== null).map((bar) => ({ time: bar[0], value: bar[6] })),
  forecast: (data) => data.forecast.map(([time, value]) => ({ time, value })),
  equity: (data) => data.equity.map(([time, value]) => ({ time, value })),
};

// Only the newest marks say their price, or the texts would hide the candles.
const markOf = ([time, side, price], place, all) => ({
  time,
  position: side === "BUY" ? "belowBar" : "aboveBar",
  shape: side === "BUY" ? "arrowUp" : "arrowDown",
  color: side === "BUY" ? BUY : SELL,
  text: place >= all.length - LABELLED ? `${side === "BUY" ? "B" : "S"} ${shown(price)}` : undefined,
});

function build(lib, box, layout) {
  const chart = lib.createChart(box, {
    autoSize: true,
    layout: { background: { color: "transparent" }, attributionLogo: true },
    rightPriceScale: { scaleMargins: layout === "market" ? { top: 0.08, bottom: 0.2 } : { top: 0.12, bottom: 0.12 } },
    timeScale: { timeVisible: true, secondsVisible: false, rightOffset: 4 },
    crosshair: { mode: lib.CrosshairMode.Normal },
    localization: { locale: "en-GB", dateFormat: "yyyy-MM-dd", priceFormatter: shown },
  });
  return { chart, ...LAYOUTS[layout](lib, chart), theme: "", kept: {}, sets: 0, updates: 0 };
}

// The page's theme may change while the chart stands.
function paint(state, box) {
  const page = getComputedStyle(box);
  const color = (name, other) => page.getPropertyValue(name).trim() || other;
  const text = color("--st-text-color", "#555");
  const line = color("--st-border-color-light", "rgba(128, 128, 128, 0.2)");
  const theme = `${text} ${line}`;
  if (theme === state.theme) return;
  state.theme = theme;
  state.chart.applyOptions({
    layout: { textColor: text, fontFamily: color("--st-font", "sans-serif") },
    grid: { vertLines: { color: line }, horzLines: { color: line } },
    rightPriceScale: { borderColor: line },
    timeScale: { borderColor: line },
  });
}

function feed(state, name, points, id) {
  const series = state.series[name];
  const kept = state.kept[name];
  const isKnown = kept !== undefined && kept.id === id && points.length > 0;
  const from = isKnown ? points.findIndex((point) => point.time === kept.last) : -1;
  if (from < 0 || kept.size > MAX_KEPT * points.length + 60) {
    series.setData(points);
    state.sets += 1;
    state.kept[name] = { id, last: points.at(-1)?.time, size: points.length };
    return;
  }
  for (const point of points.slice(from)) series.update(point);
  state.updates += 1;
  state.kept[name] = { id, last: points.at(-1).time, size: kept.size + points.length - from - 1 };
}

// What a test, or somebody with the browser's inspector, may want to know.
function tell(state, box, data) {
  const last = (data.bars ?? data.equity).at(-1);
  Object.assign(box.dataset, {
    id: data.id, sets: state.sets, updates: state.updates,
    bars: data.bars?.length ?? 0, forecasts: data.forecast?.length ?? 0, marks: data.marks?.length ?? 0,
    last: last === undefined ? "" : last[data.bars ? 4 : 1],
  });
}

let calls = 0;

export default async function ({ data, parentElement }) {
  const call = ++calls;
  const box = parentElement.querySelector(".tickloop-chart");
  box.dataset.call = call;
  box.style.height = `${data.height}px`;
  const lib = await library();
  // A call that waited while a newer one came has nothing to add, and must not take the chart away when it ends.
  const isNewest = () => Number(box.dataset.call) === call;
  if (!isNewest() || !box.isConnected) return undefined;
  let state = charts.get(box);
  if (state === undefined) {
    state = build(lib, box, data.layout);
    charts.set(box, state);
  }
  paint(state, box);
  const isOther = state.id !== data.id && (data.bars ?? data.equity).length > 0;
  if (data.layout === "purse") state.series.equity.applyOptions({ baseValue: { type: "price", price: data.base } });
  for (const name of Object.keys(state.series)) feed(state, name, POINTS[name](data), name === "forecast" ? `${data.id} ${data.model}` : data.id);
  state.marks?.setMarkers(data.marks.map(markOf));
  if (isOther) {
    state.id = data.id;
    state.chart.timeScale().fitContent();
  }
  tell(state, box, data);
  return () => {
    if (!isNewest()) return;
    state.chart.remove();
    charts.delete(box);
  };
}
