"use strict";
(() => {
  const specs = JSON.parse(document.getElementById("specs").textContent);
  const tabs = [...document.querySelectorAll('[role="tab"]')];
  const panels = [...document.querySelectorAll('[role="tabpanel"]')];
  const drawn = new Map(); // place of a plot -> its width when it was drawn

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const legendColumns = (spec, width) => { // in how many a legend fits
    const places = [spec, ...(spec.layer || [])].map((each) => ((each.encoding || {}).color || {}).scale || {});
    const names = places.flatMap((scale) => scale.domain || []);
    return Math.max(1, Math.floor(width / (30 + 7 * Math.max(0, ...names.map((name) => name.length)))));
  };

  const config = (width, spec) => {
    const axis = { labelColor: colour("--soft"), titleColor: colour("--ink"), gridColor: colour("--line"),
      domainColor: colour("--line"), tickColor: colour("--line"), labelFontSize: 11, titleFontSize: 12,
      titleFontWeight: "normal", titleLimit: Math.max(120, width - 90) };
    return { background: "transparent", font: "system-ui, DejaVu Sans, sans-serif", view: { stroke: null },
      axis, legend: { orient: "bottom", labelColor: colour("--ink"), titleColor: colour("--ink"), labelFontSize: 12,
        columns: legendColumns(spec, width - 60), labelLimit: Math.min(420, width - 85), symbolSize: 90 },
      axisY: { ...axis, labelLimit: Math.max(120, 0.45 * width) },
      axisX: { ...axis, labelOverlap: true, tickCount: Math.max(3, Math.floor(width / 80)) } };
  };

  const draw = async (place) => {
    const box = document.getElementById(`plot-${place}`);
    const width = box.clientWidth;
    if (!width || drawn.get(place) === width) return;
    drawn.set(place, width);
    const spec = { $schema: "https://vega.github.io/schema/vega-lite/v6.json", width: "container",
      autosize: { type: "fit-x", contains: "padding" }, ...specs[place], config: config(width, specs[place]) };
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const { view } = await vegaEmbed(box, spec, { actions: false, renderer: "svg",
      tooltip: { theme: dark ? "dark" : "light" } });
    view.addEventListener("click", (event, item) => {
      if (item && item.datum && item.datum.opens) location.hash = item.datum.opens;
    });
  };

  const drawShown = () => specs.forEach((_, place) => draw(place));

  const choose = (tab, focus) => {
    tabs.forEach((each) => {
      const chosen = each === tab;
      each.setAttribute("aria-selected", chosen);
      each.tabIndex = chosen ? 0 : -1;
      document.getElementById(each.getAttribute("aria-controls")).hidden = !chosen;
    });
    if (focus) tab.focus();
    tab.scrollIntoView({ block: "nearest", inline: "nearest" });
    drawShown();
  };

  const tabOf = (panel) => tabs.find((tab) => tab.getAttribute("aria-controls") === panel.id);

  const follow = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const panel = target && target.closest('[role="tabpanel"]');
    if (!panel) return;
    choose(tabOf(panel), false);
    if (target === panel) return;
    const folded = target.closest("details");
    if (folded) folded.open = true;
    target.tabIndex = -1;
    target.focus({ preventScroll: true });
    target.scrollIntoView({ block: "start" });
    scrollBy(0, -64); // below the tabs, which stay at the top
  };

  tabs.forEach((tab, i) => {
    tab.addEventListener("click", () => {
      choose(tab, true);
      history.replaceState(null, "", `#${tab.getAttribute("aria-controls")}`);
    });
    tab.addEventListener("keydown", (event) => {
      const next = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      const other = tabs[(next + tabs.length) % tabs.length];
      other.click();
    });
  });
  if (tabs.length) choose(tabs[0], false);
  else panels.forEach((panel) => { panel.hidden = false; });
  addEventListener("hashchange", follow);
  follow();
  drawShown();

  let waiting;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(drawShown, 150); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { drawn.clear(); drawShown(); });

  const refresh = Number(document.body.dataset.refresh);
  if (refresh) { // the file is written anew while the run goes on: look again, and stay where the reader is
    const key = `rulesmith ${location.pathname}`;
    const kept = JSON.parse(sessionStorage.getItem(key) || "{}");
    (kept.open || []).forEach((id) => { const each = document.getElementById(id); if (each) each.open = true; });
    if (kept.y) requestAnimationFrame(() => scrollTo(0, kept.y));
    setTimeout(() => {
      const open = [...document.querySelectorAll("details[open][id]")].map((each) => each.id);
      sessionStorage.setItem(key, JSON.stringify({ y: scrollY, open }));
      location.reload();
    }, 1000 * refresh);
  }
})();
