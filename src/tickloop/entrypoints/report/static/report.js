// Draws the charts of a report from the JSON that stands beside each. Times are shifted to Korea's clock already.
(() => {
  const lib = window.LightweightCharts;
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const quiet = { priceLineVisible: false, lastValueVisible: false };
  const krw = (price) => price.toLocaleString("en-US", { maximumFractionDigits: Math.abs(price) >= 1000 ? 0 : 4 });
  const line = ([time, value]) => ({ time, value });

  const DRAW = {
    candles(chart, data) {
      const [won, lost] = [colour("--won"), colour("--lost")];
      const series = chart.addSeries(lib.CandlestickSeries, {
        ...quiet, upColor: won, downColor: lost, wickUpColor: won, wickDownColor: lost, borderVisible: false,
      });
      series.setData(data.candles.map(([time, open, high, low, close]) => ({ time, open, high, low, close })));
      lib.createSeriesMarkers(series, data.marks.map(([time, side, count, price]) => ({
        time,
        position: side === "BUY" ? "belowBar" : "aboveBar",
        shape: side === "BUY" ? "arrowUp" : "arrowDown",
        color: side === "BUY" ? won : lost,
        text: data.marks.length <= 40 ? (count > 1 ? `${count} at ${krw(price)}` : krw(price)) : undefined,
      })));
    },
    equity(chart, data) {
      chart.addSeries(lib.LineSeries, { ...quiet, lineWidth: 1, color: colour("--soft") }).setData(data.held.map(line));
      chart.addSeries(lib.LineSeries, { ...quiet, lineWidth: 2, color: colour("--accent") }).setData(data.equity.map(line));
    },
    drawdown(chart, data) {
      const lost = colour("--lost");
      chart.addSeries(lib.AreaSeries, {
        ...quiet, lineWidth: 1, lineColor: lost, topColor: `${lost}08`, bottomColor: `${lost}55`, invertFilledArea: true,
      }).setData(data.drawdown.map(line));
    },
  };

  const look = () => ({
    layout: { background: { color: colour("--ground") }, textColor: colour("--soft"), attributionLogo: true },
    grid: { vertLines: { color: colour("--line") }, horzLines: { color: colour("--line") } },
    timeScale: { minBarSpacing: 0.02, timeVisible: true, secondsVisible: false, borderColor: colour("--line") },
    rightPriceScale: { borderColor: colour("--line") },
  });

  for (const place of document.querySelectorAll(".chart")) {
    const data = JSON.parse(document.getElementById(place.dataset.source).textContent);
    const draw = () => {
      place.replaceChildren();
      const chart = lib.createChart(place, { autoSize: true, localization: { priceFormatter: krw }, ...look() });
      DRAW[place.dataset.draw](chart, data);
      chart.timeScale().fitContent();
    };
    draw();
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  }
  document.documentElement.dataset.drawn = "yes";
})();
