// Start: unpack plotly.js, draw everything, follow the state.

async function unpackPlotly() {
  const letters = atob($("plotly-gz").textContent.trim()), packed = new Uint8Array(letters.length);
  for (let k = 0; k < letters.length; k++) packed[k] = letters.charCodeAt(k);
  const text = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  $("plotly-gz").remove();
  const script = document.createElement("script");
  script.textContent = text;
  document.head.append(script);
}

function drawAll() {
  drawClasses(); drawCards(); drawScatter(); drawBudgetAnswer(); drawGlance(); drawLadder(); drawImportance(); drawParallel(); drawRanking(); drawCompare(); drawDesign(); whenNear("history", drawHistory);
}

const PRINT_WIDTH = 690, PRINT_HALF = 330, PRINT_HEIGHT = 400;  // px between the margins of A4, of a column there, of the scatter

function setTheme(dark) { document.documentElement.dataset.theme = dark ? "dark" : "light"; $("theme").textContent = dark ? "Light" : "Dark"; }
function setupTheme() {
  const wish = matchMedia("(prefers-color-scheme: dark)");
  setTheme(wish.matches);
  wish.addEventListener("change", () => { setTheme(wish.matches); drawAll(); });
  $("theme").addEventListener("click", () => { setTheme(document.documentElement.dataset.theme !== "dark"); drawAll(); });
  // Paper is white, and as wide as A4: figures are drawn again for it.
  let before = null;
  const size = (paper) => {
    for (const plot of document.querySelectorAll(".plot")) {
      if (!ready(plot.id)) continue;
      const half = Boolean(plot.closest("figure:not(.wide)")), width = half ? PRINT_HALF : PRINT_WIDTH, height = plot.id === "pareto" ? { height: paper ? PRINT_HEIGHT : null } : {};
      Plotly.relayout(plot, paper ? { width, ...height, showlegend: !half } : { width: null, autosize: true, ...height, showlegend: true });
    }
  };
  window.addEventListener("beforeprint", () => { before = document.documentElement.dataset.theme; if (before === "dark") { setTheme(false); drawAll(); } size(true); });
  window.addEventListener("afterprint", () => { if (before === "dark") { setTheme(true); drawAll(); } size(false); });
}

onChange((what) => {
  if (what === "chosen") { markScatter(); markRanking(); if (!parallelRows.includes(ROW.get(state.chosen))) drawParallel(); else markParallel(); drawGlance(); drawLadder(); drawDesign(); }
  if (what === "tenant") drawDesign();
  if (what === "picked") {
    markScatter(); markParallel(); drawRanking();
    $("clear").disabled = !state.picked;
    $("picked").textContent = state.picked ? `${state.picked.size} designs selected` : "";
  }
  if (what === "pinned") { markScatter(); markParallel(); drawRanking(); drawCompare(); drawGlance(); }
  if (what === "budgets") { drawScatter(); drawBudgetAnswer(); drawLadder(); drawParallel(); drawRanking(); drawGlance(); }
  if (what !== "tenant" && ready("history")) drawHistory();  // else it is drawn later, as things are then
});

// The commands on the page name the folder that the page lies in.
function runFolder() {
  const found = location.protocol === "file:" ? /^(.*)\/report\.html$/.exec(decodeURIComponent(location.pathname)) : null;
  return found ? (/^[\w./-]+$/.test(found[1]) ? found[1] : `'${found[1]}'`) : "RUN";
}

async function start() {
  setupTheme();
  DATA.path = runFolder();
  drawCounts();
  drawHeadline();
  drawTiles();
  drawClasses();
  drawCards();
  setupLadder();
  drawLadder();
  drawImportance();
  drawSetbacks();
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
  const asked = Number(/^#trial=(\d+)$/.exec(location.hash)?.[1] ?? NaN);
  state.chosen = ROW.has(asked) ? asked : ROW.has(DATA.advice.trial) ? DATA.advice.trial : C.trial[0];
  setupScatter();
  setupHistory();
  drawCompare();
  drawParallel();
  $("zoom-out").addEventListener("click", () => zoom(0));
  $("zoom-in").addEventListener("click", () => zoom(0.5));
  $("earlier").addEventListener("click", () => zoom(1, -0.5));
  $("later").addEventListener("click", () => zoom(1, 0.5));
  $("copy").addEventListener("click", copyYaml);
  let wait = 0;
  window.addEventListener("resize", () => { clearTimeout(wait); wait = setTimeout(() => { drawParallel(); if (detailOf()) drawHeat(detailOf()); }, 200); });
  showChosen();
  document.documentElement.classList.add("ready");
}
start();
