// Plots: uPlot in the colours of the theme, with a text in place of the picture for those who do not see it.
"use strict";
(() => {
  const { html, useEffect, useRef, useState } = proofrank;

  const NUM_COLOURS = 8;
  const HEIGHT = 320;

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const seriesColour = (index) => colour(`series-${index % NUM_COLOURS}`);
  const seriesClass = (index) => `series-${index % NUM_COLOURS}`;

  /** A number that changes when the theme does, so that plots are drawn anew. */
  function useTheme() {
    const [number, setNumber] = useState(0);
    useEffect(() => {
      const media = matchMedia("(prefers-color-scheme: dark)");
      const change = () => setNumber((before) => before + 1);
      media.addEventListener("change", change);
      return () => media.removeEventListener("change", change);
    }, []);
    return number;
  }

  function axis(label) {
    const stroke = colour("text");
    const line = { stroke: colour("line"), width: 1 };
    return { label, stroke, grid: line, ticks: line, font: "13px system-ui, sans-serif", labelFont: "13px system-ui, sans-serif" };
  }

  /**
   * A plot. `make()` returns uPlot's options without a size, and the data; `onPick(plot)` is called for a click into it.
   * `label` says what is seen; a table beside it should hold the numbers.
   */
  function Plot({ make, keys, label, onPick }) {
    const place = useRef(null);
    const theme = useTheme();
    useEffect(() => {
      const { options, data } = make();
      const width = () => Math.max(place.current.clientWidth, 280);
      const plot = new uPlot(
        { width: width(), height: HEIGHT, legend: { show: false }, ...options }, data, place.current,
      );
      const pick = () => onPick?.(plot);
      plot.over.addEventListener("click", pick);
      const observer = new ResizeObserver(() => {
        if (place.current !== null && plot.width !== width()) plot.setSize({ width: width(), height: HEIGHT });
      });
      observer.observe(place.current);
      return () => {
        observer.disconnect();
        plot.destroy();
      };
    }, [theme, ...keys]);
    return html`<div class="plot" role="img" aria-label=${label} ref=${place}></div>`;
  }

  /** The index of the series and of the point that is nearest to the cursor: {series, index}, or null. */
  function nearest(plot, isPoint) {
    const { left, top } = plot.cursor;
    let found = null;
    plot.series.forEach((of, series) => {
      if (series === 0 || !isPoint(series)) return;
      plot.data[series].forEach((value, index) => {
        if (value === null || value === undefined) return;
        const x = plot.valToPos(plot.data[0][index], "x") - left;
        const y = plot.valToPos(value, "y") - top;
        const distance = x * x + y * y;
        if (found === null || distance < found.distance) found = { series, index, distance };
      });
    });
    return found;
  }

  Object.assign(proofrank, { Plot, axis, colour, seriesColour, seriesClass, nearest });
})();
