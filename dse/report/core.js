"use strict";
// Data, state and small tools. State: one chosen trial, a set picked by lasso or brush, up to four pinned, and the tenant
// that the drawings of a design bring out.
const DATA = JSON.parse(document.getElementById("data").textContent);
const C = DATA.columns;
const N = C.trial.length;
const ROW = new Map(C.trial.map((t, i) => [t, i]));
const state = { chosen: null, picked: null, pinned: [], tenant: null, budgets: { ...DATA.budgets }, sort: null };
const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon", "x"];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
const MAX_PINNED = 4;

const $ = (id) => document.getElementById(id);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colour = (i) => css(`--c${((i % 8) + 8) % 8}`);
const escape_ = (s) => String(s).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

function el(tag, attributes = {}, ...children) {
  const svg = ["svg", "g", "rect", "path", "text", "line", "title", "pattern", "defs"].includes(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((c) => c !== null && c !== undefined));
  return node;
}

const coded = (column, i) => (column.codes[i] < 0 ? null : column.values[column.codes[i]]);
const param = (name, i) => (C.params[name] ? coded(C.params[name], i) : null);
const architecture = (i) => param("architecture", i) ?? "design";
const policy = (i) => `${param("policy", i) ?? "?"}${param("scheduler", i) ? ` (${param("scheduler", i)})` : ""}`;
const hardware = (i) => typeset(String(coded(C.hardware, i) ?? ""));

function metricColumn(name) {
  if (C.metrics[name]) return C.metrics[name];
  if (C.extra[name]) return C.extra[name];
  const at = name.lastIndexOf(".");
  const tenant = C.tenants[name.slice(0, at)];
  return (tenant && tenant[name.slice(at + 1)]) || new Array(N).fill(null);
}
const value = (name, i) => metricColumn(name)[i];
const info = (name) => DATA.metrics[name] || { label: name, unit: "-", minimise: true, meaning: "" };

// Metrics that can be an axis, objectives first.
const AXES = [...new Set([...DATA.objectives.map((o) => o.metric), ...Object.keys(C.metrics), ...Object.keys(C.extra)])]
  .filter((m) => metricColumn(m).some((v) => v !== null));

function three(v) {
  if (v === 0) return "0";
  const a = Math.abs(v);
  if (a < 1e-4 || a >= 1e6) return v.toExponential(2);
  const digits = Math.max(0, 2 - Math.floor(Math.log10(a)));
  return String(Number(v.toFixed(digits)));
}
function prefixed(v, unit) {
  if (v === 0) return `0 ${unit}`;
  const steps = [[1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""], [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"], [1e-12, "p"]];
  const [scale, prefix] = steps.find(([s]) => Math.abs(v) >= s * 0.9995) || steps[steps.length - 1];
  return `${three(v / scale)} ${prefix}${unit}`;
}
function show(metric, v) {
  if (v === null || v === undefined) return "–";
  const unit = info(metric).unit;
  if (["s", "J", "W"].includes(unit)) return prefixed(v, unit);
  return unit === "-" ? three(v) : `${three(v)} ${unit === "mm2" ? "mm²" : unit === "1/s" ? "/s" : unit}`;
}
const typeset = (text) => text.replaceAll("mm2", "mm²").replace(/(\d)x(\d)/g, "$1×$2");
const percent = (v) => `${v !== 0 && Math.abs(v) < 0.0095 ? Number((100 * v).toPrecision(1)) : Math.round(100 * v)} %`;
const signedPercent = (v) => `${v > 0 ? "+" : v < 0 ? "−" : "±"}${percent(Math.abs(v))}`;
const bytes = (v) => (v >= 1048576 ? `${three(v / 1048576)} MiB` : `${three(v / 1024)} KiB`);

// Feasibility under the budgets as edited on the page.
const complete = (i) => coded(C.state, i) === "complete" && (coded(C.status, i) ?? "ok") === "ok";
const within = (metric, v, bound) => v !== null && (info(metric).minimise ? v <= bound : v >= bound);
const edited = () => Object.keys(DATA.budgets).some((m) => state.budgets[m] !== DATA.budgets[m]);
const missed = (i) => Object.entries(state.budgets).filter(([m, b]) => !within(m, value(m, i), b)).map(([m]) => m);
const signed = (o, i) => { const v = value(o.metric, i); return v === null ? Infinity : o.minimise ? v : -v; };

function computeFront(rows) {
  const points = rows.map((i) => [i, DATA.objectives.map((o) => signed(o, i))]).filter(([, p]) => p.every(Number.isFinite));
  points.sort((a, b) => { for (let k = 0; k < a[1].length; k++) if (a[1][k] !== b[1][k]) return a[1][k] - b[1][k]; return a[0] - b[0]; });
  const front = [];
  for (const [i, p] of points) if (!front.some(([, q]) => q.every((v, k) => v <= p[k]))) front.push([i, p]);
  return front;
}
function rank(front) {
  if (!front.length) return [];
  const ideal = front[0][1].map((_, k) => Math.min(...front.map(([, p]) => p[k])));
  const span = ideal.map((low, k) => (Math.max(...front.map(([, p]) => p[k])) - low) || Math.max(Math.abs(low), 1e-300));
  return front.map(([i, p]) => [i, Math.hypot(...p.map((v, k) => (v - ideal[k]) / span[k]))])
    .sort((a, b) => a[1] - b[1] || a[0] - b[0]).map(([i]) => i);
}
// { feasible: Uint8Array by row, ranked: rows, best first }; the run's own answer while the budgets are as given.
function judge() {
  const feasible = new Uint8Array(N);
  for (let i = 0; i < N; i++) feasible[i] = edited() ? Number(complete(i) && !missed(i).length) : C.feasible[i];
  const ranked = edited() ? rank(computeFront([...feasible.keys()].filter((i) => feasible[i])))
    : DATA.ranking.map((t) => ROW.get(t));
  return { feasible, ranked, front: new Set(ranked) };
}
let world = judge();

const listeners = [];
const onChange = (f) => listeners.push(f);
function changed(what) { for (const f of listeners) f(what); }
function choose(trial) {
  if (!ROW.has(trial) || state.chosen === trial) return;
  state.chosen = trial;
  showChosen();
}
function showChosen() {
  try { history.replaceState(null, "", `#trial=${state.chosen}`); } catch { /* a sandboxed frame has no history */ }
  changed("chosen");
}
function pick(trials) { state.picked = trials && trials.length ? new Set(trials) : null; changed("picked"); }
function pin(trial) {
  const at = state.pinned.indexOf(trial);
  if (at >= 0) state.pinned.splice(at, 1);
  else { if (state.pinned.length === MAX_PINNED) state.pinned.shift(); state.pinned.push(trial); }
  changed("pinned");
}
function focusTenant(name) { state.tenant = state.tenant === name ? null : name; changed("tenant"); }
function setBudget(metric, v) { state.budgets[metric] = v; world = judge(); changed("budgets"); }

// Groups for colour and shape.
const CLASSES = C.params.architecture ? [...C.params.architecture.values].sort((a, b) => order(a) - order(b)) : ["design"];
function order(name) { const at = ["time_mux", "composable", "heterogeneous", "dedicated"].indexOf(name); return at < 0 ? 9 : at; }
const classIndex = (i) => CLASSES.indexOf(architecture(i));
const GLYPHS = ["●", "■", "◆", "▲"];
const glyph = (k) => el("span", { class: "glyph", style: `color:${colour(k)}`, "aria-hidden": "true" }, `${GLYPHS[k] ?? "●"} `);
const TENANTS = Object.keys(C.tenants);

const ready = (id) => $(id) && $(id)._fullLayout;

// Figures are drawn once they come near the window, and all of them for paper: the page opens sooner.
const awaited = new Map();
const near = new IntersectionObserver((entries) => { for (const e of entries) if (e.isIntersecting) drawAwaited(e.target); }, { rootMargin: "600px" });
function drawAwaited(node) {
  near.unobserve(node);
  const draw = awaited.get(node);
  awaited.delete(node);
  draw?.();
}
function whenNear(id, draw) {
  if (ready(id)) { draw(); return; }
  awaited.set($(id), draw);
  near.observe($(id));
}
window.addEventListener("beforeprint", () => { for (const node of [...awaited.keys()]) drawAwaited(node); });
function layout(extra) {
  const axis = { gridcolor: css("--faint"), zerolinecolor: css("--line"), linecolor: css("--line"), automargin: true, tickfont: { color: css("--soft") } };
  const { xaxis, yaxis, ...rest } = extra;
  for (const a of [xaxis, yaxis]) if (a?.title) a.title.standoff = 8;
  return { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: css("--ink"), family: getComputedStyle(document.body).fontFamily, size: 12 },
    margin: { l: 60, r: 14, t: 12, b: 46 }, hoverlabel: { align: "left", font: { size: 12 } }, legend: { orientation: "h", y: 1.01, yanchor: "bottom" },
    xaxis: { ...axis, ...xaxis }, yaxis: { ...axis, ...yaxis }, ...rest };
}
const CONFIG = { responsive: true, displaylogo: false, scrollZoom: false, modeBarButtonsToRemove: ["sendDataToCloud"] };
