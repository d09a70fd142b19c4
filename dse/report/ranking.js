// Ranking, and the comparison of pinned designs.

// --- ranking ---
const MORE = ["p99_latency_s", "antt", "fairness_frac", "engine_utilisation_frac", "dram_utilisation_frac"];  // on wide screens
const tableMetrics = () => [...new Set([...goals(), ...MORE.filter((m) => C.metrics[m])])];
const wideOnly = (m) => (goals().includes(m) ? null : "more");

function rankingRows() {
  const rows = [...world.ranked];
  const extra = [state.chosen, ...state.pinned, ...(state.picked ? [...state.picked].slice(0, 200) : [])];
  for (const t of extra) if (t !== null && !rows.includes(ROW.get(t))) rows.push(ROW.get(t));
  if (state.sort) {
    const { key, sign } = state.sort;
    const of = key === "trial" ? (i) => C.trial[i] : key === "class" ? architecture : key === "policy" ? policy : key === "hardware" ? hardware
      : key === "rank" ? (i) => (world.ranked.indexOf(i) + 1 || 1e9) : (i) => value(key, i) ?? Infinity;
    rows.sort((a, b) => { const [p, q] = [of(a), of(b)]; return (p < q ? -1 : p > q ? 1 : a - b) * sign; });
  }
  return rows;
}

function drawRanking() {
  const metrics = tableMetrics();
  const head = (key, text, side) => el("th", { scope: "col", class: side, title: info(key).meaning || null,
    "aria-sort": state.sort?.key === key ? (state.sort.sign > 0 ? "ascending" : "descending") : null },
  el("button", { type: "button", onclick: () => { state.sort = { key, sign: state.sort?.key === key ? -state.sort.sign : 1 }; drawRanking(); } }, text));
  const rankOf = new Map(world.ranked.map((i, k) => [i, k + 1]));
  const body = el("tbody", {}, ...rankingRows().slice(0, 400).map((i) => {
    const t = C.trial[i];
    const row = el("tr", { tabindex: t === state.chosen ? 0 : -1, "data-trial": t, "aria-selected": String(t === state.chosen),
      class: state.picked ? (state.picked.has(t) ? "in" : "out") : null,
      onclick: () => choose(t), onkeydown: (e) => rowKey(e, t) },
    el("td", {}, rankOf.get(i) ?? (world.feasible[i] ? "dominated" : "infeasible")), el("td", {}, String(t)),
    el("td", { class: "t" }, glyph(classIndex(i)), architecture(i)),
    el("td", { class: "t long" }, hardware(i)), el("td", { class: "t long" }, policy(i)),
    ...metrics.map((m) => el("td", { class: state.budgets[m] !== undefined && !within(m, value(m, i), state.budgets[m]) ? "over" : wideOnly(m) }, show(m, value(m, i)))));
    return row;
  }));
  if (body.rows.length && ![...body.rows].some((r) => r.tabIndex === 0)) body.rows[0].tabIndex = 0;
  $("ranking").replaceChildren(el("table", {}, el("thead", {}, el("tr", {}, head("rank", "rank"), head("trial", "trial"), head("class", "class", "t"),
    head("hardware", "hardware", "t"), head("policy", "policy", "t"), ...metrics.map((m) => head(m, info(m).label, wideOnly(m))))), body));
}
function rowKey(e, trial) {
  const row = e.currentTarget;
  const to = e.key === "ArrowDown" ? row.nextElementSibling : e.key === "ArrowUp" ? row.previousElementSibling : null;
  if (to) { to.tabIndex = 0; row.tabIndex = -1; to.focus(); e.preventDefault(); }
  if (e.key === "Enter" || e.key === " ") { choose(trial); e.preventDefault(); $("ranking").querySelector(`tr[data-trial="${trial}"]`)?.focus(); }
  if (e.key === "p" || e.key === "P") { pin(trial); $("ranking").querySelector(`tr[data-trial="${trial}"]`)?.focus(); }
}
function markRanking() {
  const rows = [...$("ranking").querySelectorAll("tbody tr")];
  if (state.chosen !== null && !rows.some((r) => Number(r.dataset.trial) === state.chosen)) { drawRanking(); return; }
  for (const r of rows) { const on = Number(r.dataset.trial) === state.chosen; r.setAttribute("aria-selected", String(on)); r.tabIndex = on ? 0 : -1; }
}

// --- comparison ---
function bestOf(values, minimise) {
  if (minimise === null) return new Set();
  const known = values.filter((v) => v !== null && v !== undefined);
  if (known.length < 2) return new Set();
  const top = minimise ? Math.min(...known) : Math.max(...known);
  return new Set(values.every((v) => v === top) ? [] : [...values.keys()].filter((k) => values[k] === top));
}

function drawCompare() {
  const classes = [DATA.advice.trial, ...Object.values(DATA.advice.rivals)].filter((t) => ROW.has(t)).slice(0, MAX_PINNED);
  if (!state.pinned.length) {
    $("compared").replaceChildren(el("p", { class: "note" }, "Pin up to four designs (“Pin to compare”, or P in the ranking)", classes.length > 1 ? ", or " : ".",
      classes.length > 1 ? el("button", { type: "button", id: "pin-classes", onclick: () => { state.pinned = classes; changed("pinned"); } }, "compare the best of each class") : null));
    return;
  }
  const rows = state.pinned.map((t) => ROW.get(t)), body = el("tbody");
  // Differences are against the first pinned design; the best of a row is bold.
  const line = (name, cells, best) => body.append(el("tr", {}, el("th", { scope: "row", class: "t" }, name), ...cells.map((c, k) => el("td", { class: best?.has(k) ? "best" : null }, ...[c].flat()))));
  const numbers = (name, values, format, minimise) => line(name, values.map((v, k) => {
    const base = values[0];
    const change = k && base > 0 && v !== null && v !== undefined ? v / base - 1 : 0;
    return [v === null || v === undefined ? "–" : format(v), Math.abs(change) >= 0.005 ? el("small", {}, ` ${Math.abs(change) >= 1 ? `${three(v / base)}×` : signedPercent(change)}`) : null];
  }), bestOf(values, minimise));
  const part = (title) => body.append(el("tr", { class: "part" }, el("th", { class: "t", colspan: rows.length + 1 }, title)));
  const plans = state.pinned.map((t) => DATA.details[String(t)] ?? null);
  if (plans.some(Boolean)) {
    const area = (d) => Object.values(d.area_mm2).reduce((a, b) => a + b, 0), largest = Math.max(...plans.filter(Boolean).map(area));
    line("floor plans, one scale", plans.map((d) => (d ? floorplan(d, 150 * Math.sqrt(area(d) / largest), 110 * Math.sqrt(area(d) / largest), false) : el("small", {}, "not drawn"))));
  }
  part("parameters that differ");
  const equal = [];
  const shown = (name, c) => (c === null ? "–" : tick({ name }, c));
  for (const name of Object.keys(C.params)) {
    const cells = rows.map((i) => param(name, i));
    if (cells.every((c) => c === null)) continue;
    if (rows.length > 1 && cells.every((c) => c === cells[0])) equal.push(`${parameterName(name)} ${shown(name, cells[0])}`);
    else line(parameterName(name), cells.map((c) => shown(name, c)));
  }
  if (equal.length) body.append(el("tr", {}, el("th", { scope: "row", class: "t" }, "the same"), el("td", { class: "t wrap", colspan: rows.length }, equal.join(", "))));
  part("metrics");
  // Neither more nor less utilisation is better.
  for (const m of AXES) numbers(info(m).label, rows.map((i) => value(m, i)), (v) => show(m, v), m.endsWith("utilisation_frac") ? null : info(m).minimise);
  if (TENANTS.length) part("99th percentile of the latency");
  for (const t of TENANTS) if (C.tenants[t].p99_latency_s) numbers(t, rows.map((i) => C.tenants[t].p99_latency_s[i]), (v) => prefixed(v, "s"), true);
  $("compared").replaceChildren(el("table", { class: "compare" }, el("thead", {}, el("tr", {}, el("th", { class: "t" }, ""), ...state.pinned.map((t, k) => el("th", {}, glyph(classIndex(rows[k])),
    el("button", { type: "button", onclick: () => choose(t) }, `trial ${t}`), " ", el("button", { type: "button", title: `Unpin trial ${t}`, "aria-label": `Unpin trial ${t}`, onclick: () => pin(t) }, "×"))))), body));
}
