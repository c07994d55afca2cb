// Draws the charts, whose options stand in the page as JSON, and lets / jump to the search.
"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const drawn = new Map();

  // "--name" is a property of the style sheet; "inherit" the font of the page.
  const resolved = (value, style) => {
    if (Array.isArray(value)) return value.map((item) => resolved(item, style));
    if (value !== null && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, resolved(item, style)]));
    }
    if (typeof value !== "string") return value;
    if (value === "inherit") return style.fontFamily;
    return /^--[a-z]+$/.test(value) ? style.getPropertyValue(value).trim() : value;
  };

  const draw = (place) => {
    const source = document.getElementById(place.dataset.chart);
    if (!source || !window.echarts) return;
    const option = resolved(JSON.parse(source.textContent), getComputedStyle(document.body));
    const rows = option.yAxis && option.yAxis.type === "category" ? option.yAxis.data.length : 0;
    if (rows) {
      place.style.height = `${72 + 26 * rows}px`;
      option.yAxis.axisLabel.width = Math.round(Math.min(340, 0.36 * place.clientWidth));
    }
    let chart = drawn.get(place);
    if (!chart) {
      chart = window.echarts.init(place, null, { renderer: "svg" });
      drawn.set(place, chart);
      new ResizeObserver(() => chart.resize()).observe(place);
    }
    chart.setOption(option, true);
  };

  const drawNew = () => {
    for (const [place, chart] of drawn) {
      if (!place.isConnected) {
        chart.dispose();
        drawn.delete(place);
      }
    }
    for (const place of document.querySelectorAll(".chart")) {
      // What is folded away has no size yet.
      if (!drawn.has(place) && place.clientWidth) draw(place);
    }
  };

  document.addEventListener("toggle", drawNew, true);
  new MutationObserver(drawNew).observe(document.body, { childList: true, subtree: true });
  dark.addEventListener("change", () => [...drawn.keys()].forEach(draw));
  drawNew();

  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
    const search = document.querySelector("input[type=search]");
    if (event.key !== "/" || !search || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    search.focus();
  });
})();
