// One chart per mount. Streamlit calls the function again with new data each time; the chart stays and takes only
// what is new: a full set of points when the window has moved, an update of the last ones otherwise.
const charts = new WeakMap();

function build(parent, colors) {
  const box = parent.querySelector(".tickloop-chart");
  const lib = window.LightweightCharts;
  const chart = lib.createChart(box, {
    autoSize: true,
    layout: { background: { color: "transparent" }, textColor: colors.text, attributionLogo: true },
    grid: { vertLines: { color: colors.grid }, horzLines: { color: colors.grid } },
    rightPriceScale: { borderColor: colors.grid, scaleMargins: { top: 0.08, bottom: 0.24 } },
    timeScale: { borderColor: colors.grid, timeVisible: true, secondsVisible: false, rightOffset: 4 },
    localization: { priceFormatter: (price) => Math.round(price).toLocaleString("en-US") },
  });
  const candles = chart.addSeries(lib.CandlestickSeries, {
    upColor: colors.buy, downColor: colors.sell, wickUpColor: colors.buy, wickDownColor: colors.sell, borderVisible: false,
  });
  const line = (color, title, style) =>
    chart.addSeries(lib.LineSeries, { color, title, lineWidth: 2, lineStyle: style, priceLineVisible: false, lastValueVisible: false });
  const volume = chart.addSeries(lib.HistogramSeries, { priceScaleId: "", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false });
  volume.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
  return {
    chart, market: null,
    series: { candles, volume, actual: line("#8892a6", "actual vwap", 0), forecast: line("#f0a202", "forecast", 0) },
    marks: lib.createSeriesMarkers(candles, []),
    last: {}, updates: 0, sets: 0,
  };
}

function feed(state, name, points) {
  const known = state.last[name];
  const series = state.series[name];
  const fresh = known === undefined ? -1 : points.findIndex((point) => point.time >= known.time);
  if (known === undefined || fresh < 0 || points.length === 0 || points[0].time < known.first) {
    series.setData(points);
    state.sets += 1;
  } else {
    for (const point of points.slice(fresh)) series.update(point);
    state.updates += 1;
  }
  if (points.length > 0) {
    const first = known === undefined ? points[0].time : Math.min(known.first, points[0].time);
    state.last[name] = { time: points[points.length - 1].time, first };
  } else {
    delete state.last[name];
  }
}

export default function (component) {
  const { data, parentElement } = component;
  let state = charts.get(parentElement);
  if (state === undefined) {
    state = build(parentElement, data.colors);
    charts.set(parentElement, state);
  }
  if (state.market !== data.market) {
    state.market = data.market;
    state.last = {};
  }
  for (const name of ["candles", "volume", "actual", "forecast"]) feed(state, name, data[name]);
  state.marks.setMarkers(data.marks);
  const box = parentElement.querySelector(".tickloop-chart");
  box.dataset.candles = data.candles.length;
  box.dataset.forecasts = data.forecast.length;
  box.dataset.marks = data.marks.length;
  box.dataset.updates = state.updates;
  box.dataset.sets = state.sets;
  box.dataset.lastClose = data.candles.length ? data.candles[data.candles.length - 1].close : "";
  return () => {
    state.chart.remove();
    charts.delete(parentElement);
  };
}
