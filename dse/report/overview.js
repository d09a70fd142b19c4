// Scatter, budgets, the design at a glance.

// --- scatter ---
const axisTitle = (m) => { const { label, unit } = info(m); return unit === "-" ? label : `${label} [${unit === "mm2" ? "mm²" : unit}]`; };

function groups() {
  const by = $("colour").value;
  if (by === "policy") { const names = C.params.policy.values; return { names, of: (i) => C.params.policy.codes[i] }; }
  if (by === "feasibility") {
    const names = ["feasible", ...Object.keys(DATA.budgets).map((m) => `misses ${info(m).label}`), "cannot run"];
    const budgets = Object.keys(DATA.budgets);
    return { names, of: (i) => (world.feasible[i] ? 0 : !complete(i) ? names.length - 1 : 1 + Math.max(0, budgets.indexOf(missed(i)[0]))) };
  }
  return { names: CLASSES, of: classIndex };
}

// One design per cell of a fine grid: what more would lie on top of each other anyway.
function thinned(rows, x, y, limit) {
  if (rows.length <= limit || $("show-all").checked) return rows;
  const xs = rows.map((i) => x[i]), ys = rows.map((i) => y[i]);
  const [x0, y0] = [Math.min(...xs), Math.min(...ys)];
  const [dx, dy] = [(Math.max(...xs) - x0) || 1, (Math.max(...ys) - y0) || 1];
  const cells = Math.ceil(Math.sqrt(limit) * 1.6), seen = new Set(), kept = [];
  for (const i of rows) {
    const key = `${Math.floor(((x[i] - x0) / dx) * cells)}:${Math.floor(((y[i] - y0) / dy) * cells)}:${classIndex(i)}`;
    if (!seen.has(key) || i === ROW.get(state.chosen)) { seen.add(key); kept.push(i); }
  }
  return kept;
}

function viewRange(metric, rows, log) {
  const col = metricColumn(metric);
  const near = rows.map((i) => col[i]).filter((v) => v !== null).sort((a, b) => a - b);
  if (!near.length) return null;
  let [low, high] = [near[0], near[Math.floor((near.length - 1) * 0.97)]];
  if ($("show-all").checked) high = near[near.length - 1];
  for (const i of world.front) if (col[i] !== null) { low = Math.min(low, col[i]); high = Math.max(high, col[i]); }
  const bound = state.budgets[metric];
  if (bound !== undefined && bound < high + 1.2 * (high - low)) high = Math.max(high, bound);
  if (log && low > 0) return [Math.log10(low) - 0.06, Math.log10(high) + 0.06];
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  return [low - room, high + room];
}

function hover(i) {
  const lines = DATA.objectives.map((o) => `${info(o.metric).label} ${show(o.metric, value(o.metric, i))}`);
  const miss = world.feasible[i] ? [] : [complete(i) ? `misses ${missed(i).map((m) => info(m).label).join(", ")}` : coded(C.status, i) ?? "failed"];
  return `<b>trial ${C.trial[i]} ${escape_(architecture(i))}</b><br>${escape_(hardware(i))}<br>${escape_(policy(i))}<br>${[...lines, ...miss].map(escape_).join("<br>")}`;
}

function scatterTraces(xm, ym) {
  const x = metricColumn(xm), y = metricColumn(ym), { names, of } = groups();
  const usable = [...Array(N).keys()].filter((i) => x[i] !== null && y[i] !== null);
  const lift = document.documentElement.dataset.theme === "dark" ? 0.2 : 0;  // pale marks sink into a dark ground
  const kinds = [
    ["infeasible", thinned(usable.filter((i) => !world.feasible[i]), x, y, 400), { size: 6, opacity: 0.3 + lift, open: true }],
    ["dominated", thinned(usable.filter((i) => world.feasible[i] && !world.front.has(i)), x, y, 900), { size: 7, opacity: 0.45 + lift }],
    ["front", usable.filter((i) => world.front.has(i)), { size: 11, opacity: 1 }],
  ];
  const traces = [];
  names.forEach((name, g) => kinds.forEach(([kind, rows, look]) => {
    if (kind === "infeasible" && !$("show-infeasible").checked) return;
    const mine = rows.filter((i) => of(i) === g);
    if (!mine.length) return;
    // The legend shows the mark of the front, drawn last.
    for (const t of traces) if (t.legendgroup === name) t.showlegend = false;
    traces.push({ type: "scatter", mode: "markers", name, legendgroup: name, showlegend: true, x: mine.map((i) => x[i]), y: mine.map((i) => y[i]),
      customdata: mine.map((i) => C.trial[i]), text: mine.map(hover), hovertemplate: "%{text}<extra></extra>",
      marker: { symbol: SYMBOLS[(g + Math.floor(g / 8)) % SYMBOLS.length] + (look.open ? "-open" : ""), color: colour(g), size: look.size, opacity: look.opacity,
        line: { width: kind === "front" ? 1.2 : look.open ? 1 : 0, color: kind === "front" ? css("--panel") : colour(g) } },
      selected: { marker: { opacity: look.opacity } }, unselected: { marker: { opacity: look.opacity } } });
  }));
  return traces;
}

function staircase(xm, ym) {
  const rows = [...world.front].filter((i) => value(xm, i) !== null && value(ym, i) !== null);
  if (xm === ym || !info(xm).minimise || !info(ym).minimise || rows.length < 2) return [];
  rows.sort((a, b) => value(xm, a) - value(xm, b) || value(ym, a) - value(ym, b));
  const steps = [];
  let low = Infinity;
  for (const i of rows) if (value(ym, i) < low) { low = value(ym, i); steps.push(i); }
  return [{ type: "scatter", mode: "lines", x: steps.map((i) => value(xm, i)), y: steps.map((i) => value(ym, i)), hoverinfo: "skip", showlegend: false,
    line: { shape: "hv", width: 1.2, color: css("--soft"), dash: "dot" } }];
}

// The chosen, pinned and picked designs, drawn as rings over the cloud: one trace, so that a click redraws little.
function marks(xm, ym) {
  const ring = (trials, size, width, color, name) => {
    const rows = trials.map((t) => ROW.get(t)).filter((i) => value(xm, i) !== null && value(ym, i) !== null);
    return { type: "scatter", mode: "markers", name, showlegend: false, hoverinfo: "skip", x: rows.map((i) => value(xm, i)), y: rows.map((i) => value(ym, i)),
      marker: { symbol: "circle-open", size, color, line: { width } } };
  };
  return [ring(state.picked ? [...state.picked] : [], 12, 1.5, css("--accent"), "picked"), ring(state.pinned, 20, 2, css("--bad"), "pinned"),
    ring(state.chosen === null ? [] : [state.chosen], 17, 3, css("--chosen"), "chosen")];
}

function drawScatter() {
  const [xm, ym] = [$("axis-x").value, $("axis-y").value], log = $("log").checked;
  const usable = [...Array(N).keys()].filter((i) => world.feasible[i]);
  const rows = usable.length ? usable : [...Array(N).keys()];
  const shapes = [], notes = [];
  const limit = { line: { color: css("--bad"), width: 1.6, dash: "dash" } };
  const [bx, by] = [state.budgets[xm], state.budgets[ym]], [rx, ry] = [viewRange(xm, rows, log), viewRange(ym, rows, log)];
  const beyond = (b, range) => range && (log ? Math.log10(b) : b) > range[1];
  const edge = { xref: "paper", yref: "paper", xanchor: "right", yanchor: "bottom", showarrow: false, font: { color: css("--bad"), size: 12 } };
  if (bx !== undefined && beyond(bx, rx)) notes.push({ ...edge, x: 1, y: 0.005, text: `budget ${show(xm, bx)} →` });
  if (by !== undefined && beyond(by, ry)) notes.push({ ...edge, x: 0.002, y: 1, xanchor: "left", yanchor: "top", text: `↑ budget ${show(ym, by)}` });
  if (bx !== undefined && !beyond(bx, rx)) {
    shapes.push({ type: "line", xref: "x", yref: "paper", x0: bx, x1: bx, y0: 0, y1: 1, ...limit });
    notes.push({ xref: "x", yref: "paper", x: log ? Math.log10(bx) : bx, y: 0.97, xanchor: "right", yanchor: "top", showarrow: false, text: "budget", textangle: -90, font: { color: css("--bad"), size: 12 } });
  }
  if (by !== undefined && !beyond(by, ry)) {
    shapes.push({ type: "line", xref: "paper", yref: "y", x0: 0, x1: 1, y0: by, y1: by, ...limit });
    notes.push({ xref: "paper", yref: "y", x: 0.002, y: log ? Math.log10(by) : by, xanchor: "left", yanchor: "bottom", showarrow: false, text: "budget", font: { color: css("--bad"), size: 12 } });
  }
  const traces = [...staircase(xm, ym), ...scatterTraces(xm, ym), ...marks(xm, ym)];
  Plotly.react("pareto", traces, layout({
    xaxis: { title: { text: axisTitle(xm) }, type: log ? "log" : "linear", range: rx },
    yaxis: { title: { text: axisTitle(ym) }, type: log ? "log" : "linear", range: ry },
    shapes, annotations: notes, hovermode: "closest", dragmode: dragMode, legend: { orientation: "h", y: 1.02, yanchor: "bottom", font: { size: 13 } },
    margin: { l: 62, r: 14, t: 30, b: 50 } }), { ...CONFIG, modeBarButtonsToRemove: ["autoScale2d", "zoom2d", "pan2d", "select2d", "lasso2d"] });
}

let dragMode = "zoom";
function setDrag(mode) {
  dragMode = mode;
  for (const button of $("drag").children) button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
  if (ready("pareto")) Plotly.relayout("pareto", { dragmode: mode });
}

function markScatter() {
  if (!ready("pareto")) return;
  const plot = $("pareto"), fresh = marks($("axis-x").value, $("axis-y").value), at = plot.data.length - 3;
  if (fresh.every((t, k) => String(t.x) === String(plot.data[at + k].x) && String(t.y) === String(plot.data[at + k].y))) return;
  Plotly.restyle(plot, { x: fresh.map((t) => t.x), y: fresh.map((t) => t.y) }, [at, at + 1, at + 2]);
}

function setupScatter() {
  for (const id of ["axis-x", "axis-y"]) $(id).replaceChildren(...AXES.map((m) => el("option", { value: m, title: info(m).meaning }, axisTitle(m))));
  $("axis-x").value = AXES[0];
  $("axis-y").value = AXES[Math.min(1, AXES.length - 1)];
  const ways = [["class", "class"], ...(C.params.policy ? [["policy", "policy"]] : []), ["feasibility", "feasibility"]];
  $("colour").replaceChildren(...ways.map(([v, t]) => el("option", { value: v }, t)));
  for (const id of ["axis-x", "axis-y", "colour", "log", "show-infeasible", "show-all"]) $(id).addEventListener("change", drawScatter);
  $("drag").replaceChildren(...[["zoom", "Zoom"], ["select", "Box"], ["lasso", "Lasso"]].map(([mode, text]) => el("button", { type: "button", "data-mode": mode, "aria-pressed": String(mode === dragMode), onclick: () => setDrag(mode) }, text)));
  drawScatter();
  const plot = $("pareto");
  plot.on("plotly_click", (e) => { const p = e.points.find((q) => q.customdata !== undefined); if (p) choose(p.customdata); });
  plot.on("plotly_selected", (e) => { if (e) pick(e.points.map((p) => p.customdata).filter((t) => t !== undefined)); });
  plot.on("plotly_deselect", () => pick(null));
  plot.addEventListener("keydown", (e) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key];
    if (step && world.ranked.length) {
      const at = world.ranked.indexOf(ROW.get(state.chosen));
      choose(C.trial[world.ranked[(at + step + world.ranked.length) % world.ranked.length]]);
      e.preventDefault();
    } else if (e.key === "Enter" && state.chosen !== null) pin(state.chosen);
  });
  $("clear").addEventListener("click", () => { clearBrushes(); pick(null); });
}

// --- budgets and the design at a glance ---
function setupBudgets() {
  const rows = Object.keys(DATA.budgets).map((m) => el("label", { title: info(m).meaning },
    `${info(m).label}\u00a0${info(m).minimise ? "≤" : "≥"}`,
    el("input", { type: "number", step: "any", value: DATA.budgets[m], "data-metric": m, oninput: (e) => {
      const v = e.target.valueAsNumber;
      if (Number.isFinite(v)) setBudget(m, v);
    } }), el("span", { class: "unit" }, info(m).unit === "-" ? "" : typeset(info(m).unit))));
  $("budgets").replaceChildren(...rows, rows.length ? el("button", { type: "button", onclick: () => {
    state.budgets = { ...DATA.budgets };
    world = judge();
    for (const input of $("budgets").querySelectorAll("input")) input.value = DATA.budgets[input.dataset.metric];
    changed("budgets");
  } }, "As in the study") : el("span", { class: "hint" }, "The study has no budgets."));
  $("budgets").addEventListener("submit", (e) => e.preventDefault());
}

function drawBudgetAnswer() {
  const n = world.feasible.reduce((a, b) => a + b, 0);
  if (!n) { $("budget-answer").textContent = "No design found meets these budgets."; return; }
  const i = world.ranked[0];
  $("budget-answer").replaceChildren(`${n.toLocaleString("en")} designs meet them. Best compromise: `,
    el("button", { type: "button", onclick: () => choose(C.trial[i]) }, `trial ${C.trial[i]}`), ` ${architecture(i)}, ${hardware(i)}, ${policy(i)}`);
}

function drawGlance() {
  if (state.chosen === null) return;
  const i = ROW.get(state.chosen);
  $("selected").textContent = `trial ${state.chosen}`;
  const names = [...new Set([...DATA.objectives.map((o) => o.metric), ...Object.keys(DATA.budgets)])];
  const list = el("dl");
  const add = (k, v, bad) => list.append(el("dt", {}, k), el("dd", { class: bad ? "over" : null }, v));
  add("class", architecture(i));
  add("hardware", hardware(i) || "–");
  add("policy", policy(i));
  for (const m of names) {
    const v = value(m, i), b = state.budgets[m], over = b !== undefined && !within(m, v, b);
    const room = b && v !== null ? (info(m).minimise ? b - v : v - b) / Math.abs(b) : null;
    add(info(m).label, show(m, v) + (room === null ? "" : over ? ` (${percent(-room)} over)` : ` (${percent(room)} left)`), over);
  }
  if (!complete(i)) add("status", coded(C.status, i) ?? "failed", true);
  const pinned = state.pinned.includes(state.chosen);
  $("glance").replaceChildren(list, el("button", { type: "button", id: "pin", style: "margin-top:.6rem", onclick: () => pin(state.chosen) }, pinned ? "Unpin" : "Pin to compare"));
}
