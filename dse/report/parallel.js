// Parallel coordinates as SVG: lines can be clicked, axes brushed.
const brushes = new Map();
let parallelRows = [];
function clearBrushes() { brushes.clear(); drawParallel(); }

// Categories, then the parameters that tell the lines apart: those active in a quarter of the front, or in what is
// chosen or pinned. The objectives come last.
function parallelAxes() {
  const rows = [...world.front], marked = [state.chosen, ...state.pinned].filter((t) => t !== null).map((t) => ROW.get(t));
  const told = (name) => C.params[name].values.length > 1 && new Set(parallelRows.map((i) => param(name, i))).size > 1
    && (rows.filter((i) => param(name, i) !== null).length >= 0.25 * rows.length || marked.some((i) => param(name, i) !== null));
  const first = ["architecture", "policy", "scheduler"].filter((n) => C.params[n]);
  const names = [...first, ...Object.keys(C.params).filter((n) => !first.includes(n) && told(n))];
  const objectives = DATA.objectives.map((o) => ({ name: o.metric, label: info(o.metric).label, of: (i) => value(o.metric, i), metric: true }));
  return [...names.slice(0, Math.max(4, 15 - objectives.length)).map((name) => ({ name, label: parameterName(name), of: (i) => param(name, i) })), ...objectives];
}
const tick = (axis, v) => (axis.metric ? show(axis.name, v) : v === null ? "–" : axis.name.includes("sram_bytes") ? bytes(v) : axis.name.includes("bytes_per_s") ? `${three(v / 1e9)} GB/s`
  : axis.name.endsWith("_hz") ? prefixed(v, "Hz") : String(v));

function scaleOf(axis, rows, top, bottom) {
  const values = rows.map(axis.of).filter((v) => v !== null);
  if (!axis.metric) {
    const known = [...new Set(values)].sort((a, b) => (typeof a === "number" ? a - b : String(a) < String(b) ? -1 : 1));
    const step = known.length > 1 ? (bottom - top) / (known.length - 1) : 0;
    return { at: (v) => (known.length > 1 ? bottom - known.indexOf(v) * step : (top + bottom) / 2), ticks: known };
  }
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return { at: (v) => (high > low ? bottom - ((v - low) / (high - low)) * (bottom - top) : (top + bottom) / 2), ticks: high > low ? [low, (low + high) / 2, high] : [low] };
}

// The front, and up to 150 other feasible designs as context.
function contextRows() {
  const others = [...Array(N).keys()].filter((i) => world.feasible[i] && !world.front.has(i));
  const step = Math.max(1, Math.ceil(others.length / 150));
  const rows = [...world.ranked.slice(0, 250), ...others.filter((_, k) => k % step === 0)];
  if (!rows.length) rows.push(...[...Array(N).keys()].filter(complete).slice(0, 200));
  if (state.chosen !== null && !rows.includes(ROW.get(state.chosen))) rows.push(ROW.get(state.chosen));
  return rows;
}

function drawParallel() {
  parallelRows = contextRows();
  const axes = parallelAxes(), width = Math.max(900, $("parallel").clientWidth || 1200), height = 330, top = 44, bottom = height - 18;
  const svg = el("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Parallel coordinates of the front" });
  const left = 112, right = 100, x = (k) => left + (k * (width - left - right)) / Math.max(1, axes.length - 1);
  axes.forEach((axis) => { axis.scale = scaleOf(axis, parallelRows, top, bottom); });
  const lines = el("g");
  for (const i of [...parallelRows].reverse()) {
    let d = "", pen = false;  // a gap where a parameter is inactive
    axes.forEach((axis, k) => { const v = axis.of(i); if (v === null) return; d += `${pen ? "L" : "M"}${x(k).toFixed(1)} ${axis.scale.at(v).toFixed(1)}`; pen = true; });
    const path = el("path", { d, stroke: colour(classIndex(i)), "data-row": i, onclick: () => choose(C.trial[i]) }, el("title", {}, `trial ${C.trial[i]}: ${architecture(i)}, ${hardware(i)}, ${policy(i)}`));
    if (!world.front.has(i)) path.style.opacity = 0.14;
    lines.append(path);
  }
  svg.append(lines);
  axes.forEach((axis, k) => {
    const g = el("g", { transform: `translate(${x(k).toFixed(1)} 0)` });
    g.append(el("line", { y1: top, y2: bottom, stroke: "var(--soft)" }), el("text", { y: k % 2 ? 13 : 29, "text-anchor": "middle", "font-size": 12, "font-weight": 600 }, axis.label.length > 22 ? `${axis.label.slice(0, 21)}…` : axis.label));
    const last = k === axes.length - 1, spaced = axis.scale.ticks.filter((_, n, all) => all.length <= 12 || n % Math.ceil(all.length / 12) === 0);
    for (const v of spaced) g.append(el("text", { x: k === 0 ? -6 : 6, y: axis.scale.at(v) + 4, "font-size": 11, "text-anchor": k === 0 ? "end" : "start", style: "fill:var(--soft);paint-order:stroke;stroke:var(--panel);stroke-width:3px" }, tick(axis, v)));
    const band = brushes.get(axis.name);
    if (band) g.append(el("rect", { class: "brush", x: -9, width: 18, y: band[0], height: Math.max(2, band[1] - band[0]) }));
    const grab = el("rect", { class: "grab", x: -11, width: 22, y: top - 8, height: bottom - top + 16, "data-axis": axis.name });
    grab.addEventListener("pointerdown", (e) => startBrush(e, svg, axis.name, g));
    g.append(grab);
    if (last) g.setAttribute("data-last", "");
    svg.append(g);
  });
  $("parallel").replaceChildren(svg);
  markParallel();
}

function startBrush(e, svg, name, g) {
  e.preventDefault();
  const y = (event) => { const box = svg.getBoundingClientRect(); return ((event.clientY - box.top) / box.height) * svg.viewBox.baseVal.height; };
  const from = y(e), rect = el("rect", { class: "brush", x: -9, width: 18 });
  g.append(rect);
  const move = (event) => { const to = y(event); rect.setAttribute("y", Math.min(from, to)); rect.setAttribute("height", Math.abs(to - from)); };
  const end = (event) => {
    window.removeEventListener("pointermove", move);
    window.removeEventListener("pointerup", end);
    const to = y(event);
    if (Math.abs(to - from) < 4) brushes.delete(name); else brushes.set(name, [Math.min(from, to) - 1, Math.max(from, to) + 1]);
    drawParallel();
    const axes = parallelAxes();
    axes.forEach((axis) => { axis.scale = scaleOf(axis, parallelRows, 44, 312); });
    const active = axes.filter((axis) => brushes.has(axis.name));
    const kept = parallelRows.filter((i) => active.every((axis) => { const v = axis.of(i), [a, b] = brushes.get(axis.name); return v !== null && axis.scale.at(v) >= a && axis.scale.at(v) <= b; }));
    pick(active.length ? kept.map((i) => C.trial[i]) : null);
  };
  window.addEventListener("pointermove", move);
  window.addEventListener("pointerup", end);
}

function markParallel() {
  for (const path of $("parallel").querySelectorAll("path")) {
    const trial = C.trial[Number(path.dataset.row)];
    path.classList.toggle("chosen", trial === state.chosen);
    path.classList.toggle("in", Boolean(state.picked?.has(trial)) || state.pinned.includes(trial));
    path.classList.toggle("off", Boolean(state.picked) && !state.picked.has(trial));
    if (trial === state.chosen) path.parentNode.append(path);
  }
}
