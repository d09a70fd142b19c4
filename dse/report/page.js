// Start: unpack plotly.js, draw everything, follow the state.

async function unpackPlotly() {
  const packed = Uint8Array.from(atob($("plotly-gz").textContent.trim()), (c) => c.charCodeAt(0));
  const text = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  $("plotly-gz").remove();
  const script = document.createElement("script");
  script.textContent = text;
  document.head.append(script);
}

function drawHistory() {
  const h = DATA.history;
  Plotly.react("history", [
    { type: "scatter", mode: "lines", name: "hypervolume", x: h.trials, y: h.hypervolume, line: { color: colour(0), width: 2.5, shape: "hv" },
      text: h.spent_s.map((s) => `, after ${prefixed(s, "s")} of evaluation`), hovertemplate: "%{y:.4g}%{text}" },
    { type: "scatter", mode: "lines", name: "designs on the front", x: h.trials, y: h.front, yaxis: "y2", line: { color: colour(1), width: 1.6, dash: "dot", shape: "hv" } },
  ], layout({ xaxis: { title: { text: "trials" } }, yaxis: { title: { text: "hypervolume" }, rangemode: "tozero" },
    yaxis2: { title: { text: "designs on the front" }, overlaying: "y", side: "right", showgrid: false, rangemode: "tozero", color: css("--soft") }, margin: { l: 62, r: 60, t: 34, b: 46 }, legend: { orientation: "h", y: 1.02, yanchor: "bottom" }, hovermode: "x unified" }), CONFIG);
  const reference = Object.entries(h.reference).filter(([, v]) => v !== null).map(([m, v]) => `${info(m).label} ${show(m, v)}`).join(", ");
  $("history-note").textContent = reference ? `Share of the box between zero and the reference (${reference}) that the designs found so far dominate.` : "";
}

function drawProvenance() {
  const list = el("dl", { class: "left" });
  const walk = (prefix, v) => {
    if (v !== null && typeof v === "object" && !Array.isArray(v)) { for (const [k, w] of Object.entries(v)) walk(prefix ? `${prefix}.${k}` : k, w); return; }
    list.append(el("dt", {}, prefix), el("dd", {}, Array.isArray(v) ? v.join(" ") : String(v)));
  };
  walk("", DATA.manifest);
  $("manifest").replaceChildren(list);
  $("study-yaml").textContent = DATA.study_yaml;
  $("constants").replaceChildren(el("table", {}, el("thead", {}, el("tr", {}, ...["constant", "value", "low", "high", "unit", "trust", "source"].map((h, k) => el("th", { class: k === 0 || k > 3 ? "t" : null }, h)))),
    el("tbody", {}, ...DATA.constants.map((c) => el("tr", {}, el("td", { class: "t" }, c.key), ...[c.value, c.low, c.high].map((v) => el("td", {}, v === null ? "–" : three(v))), ...[c.unit, c.trust, c.source].map((v) => el("td", { class: "t", style: "white-space:normal" }, v)))))));
}

function drawAll() { drawCards(); drawScatter(); drawBudgetAnswer(); drawGlance(); drawParallel(); drawRanking(); drawCompare(); drawDesign(); drawHistory(); }

function setTheme(dark) { document.documentElement.dataset.theme = dark ? "dark" : "light"; }
function setupTheme() {
  const wish = matchMedia("(prefers-color-scheme: dark)");
  setTheme(wish.matches);
  wish.addEventListener("change", () => { setTheme(wish.matches); drawAll(); });
  $("theme").addEventListener("click", () => { setTheme(document.documentElement.dataset.theme !== "dark"); drawAll(); });
  // Paper is white: figures drawn for a dark screen are drawn again for it.
  let before = null;
  window.addEventListener("beforeprint", () => { before = document.documentElement.dataset.theme; if (before === "dark") { setTheme(false); drawAll(); } });
  window.addEventListener("afterprint", () => { if (before === "dark") { setTheme(true); drawAll(); } });
}

onChange((what) => {
  if (what === "chosen") { markScatter(); markRanking(); if (!parallelRows.includes(ROW.get(state.chosen))) drawParallel(); else markParallel(); drawGlance(); drawDesign(); }
  if (what === "picked") {
    markScatter(); markParallel(); drawRanking();
    $("clear").disabled = !state.picked;
    $("picked").textContent = state.picked ? `${state.picked.size} designs selected` : "";
  }
  if (what === "pinned") { markScatter(); markParallel(); drawRanking(); drawCompare(); drawGlance(); }
  if (what === "budgets") { drawScatter(); drawBudgetAnswer(); drawParallel(); drawRanking(); drawGlance(); }
});

async function start() {
  setupTheme();
  drawCounts();
  // The first clause is the answer, the rest its reasons: the same words, set apart.
  const [, lead, rest] = /^([^;]*;?)\s*(.*)$/s.exec(DATA.advice.sentence);
  $("headline").replaceChildren(el("b", {}, lead), rest);
  drawCards();
  drawRanking();
  setupBudgets();
  drawBudgetAnswer();
  drawProvenance();
  try {
    await unpackPlotly();
  } catch (error) {
    $("headline").after(el("p", { class: "note" }, `The figures need a browser with DecompressionStream (2023 or newer): ${error.message}`));
    document.documentElement.classList.add("ready");
    return;
  }
  setupScatter();
  drawHistory();
  drawCompare();
  drawParallel();
  $("zoom-out").addEventListener("click", () => zoom(0));
  $("zoom-in").addEventListener("click", () => zoom(0.5));
  $("copy").addEventListener("click", copyYaml);
  let wait = 0;
  window.addEventListener("resize", () => { clearTimeout(wait); wait = setTimeout(drawParallel, 200); });
  const asked = Number(/^#trial=(\d+)$/.exec(location.hash)?.[1] ?? NaN);
  choose(ROW.has(asked) ? asked : ROW.has(DATA.advice.trial) ? DATA.advice.trial : C.trial[0]);
  document.documentElement.classList.add("ready");
}
start();
