// What the run says beyond single designs: best per budget, which parameter matters, the search, the proof, provenance.

// Best under every bound of one metric: what one more unit of it buys.
function drawLadder() {
  const metric = $("ladder-metric").value, others = DATA.objectives.filter((o) => o.metric !== metric);
  const points = world.ranked.filter((i) => value(metric, i) !== null), less = info(metric).minimise;
  const bounds = ladderBounds(points.map((i) => value(metric, i)), less);
  let before = null;
  const rows = bounds.map((bound) => {
    const inside = points.filter((i) => within(metric, value(metric, i), bound));
    const i = inside[0];  // ranked: the first is the best compromise
    const least = others.map((o) => inside.reduce((a, k) => (value(o.metric, k) !== null && (a === null || signed(o, k) < signed(o, a)) ? k : a), null));
    const row = el("tr", {}, el("td", {}, `${less ? "≤" : "≥"} ${show(metric, bound)}`),
      el("td", { class: "t" }, glyph(classIndex(i)), el("button", { type: "button", title: `${hardware(i)}, ${policy(i)}`, onclick: () => choose(C.trial[i]) }, `trial ${C.trial[i]}`)),
      ...others.map((o, k) => {
        const v = value(o.metric, least[k]), was = before?.[k];
        return el("td", {}, el("button", { type: "button", class: "plain", title: `trial ${C.trial[least[k]]}`, onclick: () => choose(C.trial[least[k]]) }, show(o.metric, v)), was && v !== was ? el("small", { class: "good" }, ` ${signedPercent(v / was - 1)}`) : null);
      }));
    before = least.map((k, n) => value(others[n].metric, k));
    return row;
  });
  $("ladder").replaceChildren(rows.length ? el("table", {}, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, info(metric).label), el("th", { scope: "col", class: "t" }, "best compromise"), ...others.map((o) => el("th", { scope: "col" }, `${o.minimise ? "least" : "most"} ${info(o.metric).label}`)))), el("tbody", {}, ...rows))
    : el("p", { class: "note" }, "No design found meets the budgets."));
}
// Round bounds between the best and the worst value of the front, about seven, the last one holding all of it.
function ladderBounds(values, less) {
  if (!values.length) return [];
  const sorted = [...values].sort((a, b) => (less ? a - b : b - a)), ends = [sorted[0], sorted[sorted.length - 1]];
  const found = [];
  for (let k = 0; k <= 6; k++) {
    const v = sorted[Math.round((k / 6) * (sorted.length - 1))];
    const unit = 10 ** (Math.floor(Math.log10(Math.abs(v) || 1)) - 1), bound = Number((less ? Math.ceil(v / unit - 1e-9) * unit : Math.floor(v / unit + 1e-9) * unit).toPrecision(12));
    if (!found.includes(bound)) found.push(bound);
  }
  return ends[0] === ends[1] ? found.slice(0, 1) : found;
}
function setupLadder() {
  const names = DATA.objectives.map((o) => o.metric);
  $("ladder-metric").replaceChildren(...names.map((m) => el("option", { value: m }, info(m).label)));
  $("ladder-metric").addEventListener("change", drawLadder);
  if (names.length < 2) $("ladder").closest(".block").hidden = true;
}

// Which parameter matters: total effects, one bar per objective.
function drawImportance() {
  const found = DATA.insight.importance, block = $("importance").closest(".block");
  const metrics = Object.keys(found?.effects ?? {}).filter((m) => found.effects[m].length);
  if (!metrics.length) { block.hidden = true; return; }
  const names = [...new Set(metrics.flatMap((m) => found.effects[m].map(([p]) => p)))];
  const of = (m, p) => found.effects[m].find(([q]) => q === p)?.[1] ?? 0;
  names.sort((a, b) => Math.max(...metrics.map((m) => of(m, b))) - Math.max(...metrics.map((m) => of(m, a))));
  const shade = (k) => colour([0, 1, 2, 3][k % 4]);
  const bars = (p) => el("div", { class: "bars" }, ...metrics.map((m, k) => el("div", { title: `${info(m).label}: ${percent(of(m, p))}` }, el("i", { style: `width:${Math.min(100, 100 * of(m, p))}%;background:${shade(k)}` }), el("span", {}, of(m, p) >= 0.005 ? percent(of(m, p)) : ""))));
  $("importance").replaceChildren(el("div", { class: "legend" }, ...metrics.map((m, k) => el("span", {}, el("i", { style: `background:${shade(k)}` }), `${info(m).label} (R² ${found.r2[m]})`))),
    el("div", { class: "stack" }, ...names.slice(0, 8).flatMap((p) => [el("span", {}, parameterName(p)), bars(p)])),
    el("p", { class: "hint" }, `Share of the variance over the space that is left when all other parameters are fixed, from a regression on ${found.designs.toLocaleString("en")} trials.`));
}
const parameterName = (name) => name.replace(/_(bytes_per_s|bytes|hz|nm)(\d*)$/, "$2").replaceAll("_", " ");

// --- the search ---
function drawHistory() {
  const h = DATA.history, proof = DATA.insight.proof;
  if (proof?.file) { drawProof(proof); return; }
  const time = $("history-axis").value === "time", at = time ? h.spent_s : h.trials;
  // Where the designs of the front were found: marks on the curve that can be clicked.
  const order = [...C.trial].sort((a, b) => a - b), place = new Map(order.map((t, k) => [t, k + 1]));
  const found = world.ranked.map((i) => { const k = h.trials.findIndex((n) => n >= place.get(C.trial[i])); return [i, at[k], h.hypervolume[k]]; }).filter(([, , v]) => v !== undefined && v !== null);
  const named = `${DATA.objectives.length > 1 ? "hypervolume" : "share of the reference gained"}`;
  Plotly.react("history", [
    { type: "scatter", mode: "lines", name: named, x: at, y: h.hypervolume, line: { color: colour(0), width: 2.5, shape: "hv" }, hovertemplate: "%{y:.4g}" },
    { type: "scatter", mode: "lines", name: "designs on the front", x: at, y: h.front, yaxis: "y2", line: { color: colour(1), width: 1.6, dash: "dot", shape: "hv" }, hovertemplate: "%{y}" },
    { type: "scatter", mode: "markers", name: "designs of the final front, where they were found", x: found.map((f) => f[1]), y: found.map((f) => f[2]), customdata: found.map(([i]) => C.trial[i]), text: found.map(([i]) => hover(i)), hovertemplate: "%{text}<extra></extra>",
      marker: { size: found.map(([i]) => (C.trial[i] === state.chosen ? 15 : state.picked?.has(C.trial[i]) || state.pinned.includes(C.trial[i]) ? 11 : 8)), color: found.map(([i]) => colour(classIndex(i))), symbol: found.map(([i]) => SYMBOLS[classIndex(i)]), line: { color: css("--panel"), width: 1 } } },
  ], layout({ xaxis: { title: { text: time ? "time spent on evaluations [s]" : "trials" } }, yaxis: { title: { text: named }, rangemode: "tozero", nticks: 6 },
    yaxis2: { title: { text: "designs on the front" }, overlaying: "y", side: "right", showgrid: false, rangemode: "tozero", tickmode: "auto", tickfont: { color: css("--soft") }, nticks: 6, tickformat: "d" }, margin: { l: 62, r: 60, t: 34, b: 46 }, hovermode: "closest", dragmode: "select" }), CONFIG);
  const reference = Object.entries(h.reference).filter(([, v]) => v !== null).map(([m, v]) => `${info(m).label} ${show(m, v)}`).join(", ");
  $("history-note").textContent = reference ? `Share of the box between zero and the reference (${reference}) that the designs found so far dominate.` : "";
  const plot = $("history");
  plot.removeAllListeners("plotly_click"); plot.removeAllListeners("plotly_selected");
  plot.on("plotly_click", (e) => { const p = e.points.find((q) => q.customdata !== undefined); if (p) choose(p.customdata); });
  plot.on("plotly_selected", (e) => { if (e) pick(e.points.map((p) => p.customdata).filter((t) => t !== undefined)); });
}
function setupHistory() {
  if (DATA.insight.proof?.file) $("history-axis").parentElement.hidden = true;
  $("history-axis").addEventListener("change", drawHistory);
  whenNear("history", drawHistory);
}

function drawSetbacks() {
  const found = DATA.insight.setbacks ?? [];
  $("setbacks").closest(".block").hidden = !found.length;
  $("setbacks").replaceChildren(el("table", {}, el("thead", {}, el("tr", {}, el("th", { class: "t", scope: "col" }, "why"), el("th", { scope: "col" }, "trials"), el("th", { scope: "col" }, "for example"))),
    el("tbody", {}, ...found.map((f) => el("tr", {}, el("td", { class: "t long" }, f.why), el("td", {}, f.count.toLocaleString("en")), el("td", {}, el("button", { type: "button", onclick: () => choose(f.trial) }, `trial ${f.trial}`)))))));
}

// How every design of the space was decided by `dse front`.
const DECIDED = { simulated: ["simulated", 0], budget_1: ["beyond a budget, from quick bounds", 5], budget_2: ["beyond a budget, from exact layer costs", 1], cannot_run: ["cannot run a network", 7],
  dominated_1: ["dominated, from quick bounds", 4], dominated_2: ["dominated, from exact layer costs", 2], budget_3: ["beyond a budget, from part of a simulation", 5], dominated_3: ["dominated, from part of a simulation", 4],
  budget: ["beyond a budget", 1], dominated: ["dominated", 2], failed: ["failed", 3], open: ["undecided", 6] };
function drawProof(p) {
  // Designs counted, or shares of a space that cannot be enumerated.
  const known = Object.entries(p.counts ?? p.shares).filter(([, n]) => typeof n === "number" && n > 0), total = p.counts ? p.designs : 1;
  const said = p.counts ? (n) => n.toLocaleString("en") : (n) => percent(n), least = p.gap === null || p.gap === undefined ? "an unknown amount" : three(p.gap);
  const left = total - sum(known.filter(([k]) => k !== "simulated" && k !== "failed")), rest = known.filter(([k]) => k !== "simulated" && k !== "failed");
  const parts = [...(left > 1e-9 ? [["simulated", left]] : []), ...rest.sort((a, b) => b[1] - a[1])], name = (k) => DECIDED[k]?.[0] ?? k.replaceAll("_", " "), shade = (k) => colour(DECIDED[k]?.[1] ?? 3);
  const block = el("div", {}, el("p", {}, el("b", {}, p.exact ? "This front is exact: " : "This front is not complete yet: "),
    p.exact ? `every ${p.counts ? `one of the ${said(total)} designs` : "design"} of the space was simulated or proven not to be on it.`
      : p.counts ? `${said(p.counts.open ?? 0)} designs are undecided; they could add at most ${least} of hypervolume.`
        : `the designs of ${said(p.shares.open)} of the space are undecided; any of them could add at most ${least} of hypervolume.`),
  el("div", { class: "stack" }, el("span", {}, p.counts ? "designs" : "space"), bar(parts, total, name, shade, said)),
  el("table", {}, el("tbody", {}, ...parts.map(([k, n]) => el("tr", {}, el("td", { class: "t" }, el("i", { class: "chip", style: `background:${shade(k)}` }), name(k)), ...(p.counts ? [el("td", {}, said(n))] : []), el("td", {}, percent(n / total)))))),
  el("p", { class: "hint" }, `The proof is in ${p.file}; anyone can check it: `, el("code", {}, `dse front --check ${DATA.path}`)));
  $("history").style.height = "auto";
  $("history").replaceChildren(block);
}

// --- provenance ---
const HIDDEN = new Set(["front", "counts", "hypervolume_gap", "sampler_reason"]);
const MANIFEST = { trials: "trials asked for", n_trials: "trials", wall_s: "wall time" };
function drawProvenance() {
  const list = el("dl", { class: "left" }), m = DATA.manifest;
  const text = (k, v) => (k === "wall_s" ? prefixed(v, "s") : Array.isArray(v) ? v.join(" ") : typeof v === "number" && !Number.isInteger(v) ? three(v) : typeof v === "number" && k !== "seed" ? v.toLocaleString("en") : String(v));
  const add = (k, v) => list.append(el("dt", {}, k), el("dd", {}, v));
  for (const [k, v] of Object.entries(m)) {
    if (HIDDEN.has(k) || v === null) continue;
    if (typeof v !== "object" || Array.isArray(v)) add(MANIFEST[k] ?? k.replace(/^n_/, "").replaceAll("_", " "), text(k, v) + (k === "sampler" && m.sampler_reason ? `: ${m.sampler_reason}` : ""));
    else add(k.replaceAll("_", " "), Object.entries(v).map(([n, w]) => (DATA.metrics[n] ? `${info(n).label} ${show(n, w)}` : `${n} ${w}`)).join(", "));
  }
  $("manifest").replaceChildren(list);
  $("study-yaml").textContent = DATA.study_yaml;
  $("constants").replaceChildren(el("table", {}, el("thead", {}, el("tr", {}, ...["constant", "value", "low", "high", "unit", "trust", "source"].map((h, k) => el("th", { class: k === 0 || k > 3 ? "t" : null }, h)))),
    el("tbody", {}, ...DATA.constants.map((c) => el("tr", {}, el("td", { class: "t" }, c.key), ...[c.value, c.low, c.high].map((v) => el("td", {}, v === null ? "–" : three(v))), ...[c.unit, c.trust, c.source].map((v) => el("td", { class: "t long" }, v)))))));
}
