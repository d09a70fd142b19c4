// The chosen design: floor plan, breakdowns, limits, roofline, latencies, schedule, heat map, YAML.
const detailOf = () => DATA.details[String(state.chosen)] ?? null;
const tenantColour = (d, name) => colour(d.tenants.indexOf(name));
const faded = (name) => (state.tenant && state.tenant !== name ? 0.12 : 1);
const tenantOf = (d, e) => d.tenants.find((t) => t === e.points[0]?.data.name);
const waiting = (id, text) => { if (ready(id)) Plotly.purge(id); $(id).replaceChildren(el("p", { class: "note" }, text)); };
const NOT_RECORDED = "Not recorded for this design.";

// --- floor plan: a squarified tree map, areas to scale (M. Bruls et al., 2000) ---
function squarify(items, x, y, w, h) {
  const placed = [], rest = items.filter((d) => d.area > 0).sort((a, b) => b.area - a.area);
  const total = rest.reduce((s, d) => s + d.area, 0);
  if (!total) return placed;
  const scale = (w * h) / total;
  const worst = (row, side) => { const s = row.reduce((t, d) => t + d.area * scale, 0); return Math.max(...row.map((d) => { const a = d.area * scale; return Math.max((side * side * a) / (s * s), (s * s) / (side * side * a)); })); };
  while (rest.length) {
    const side = Math.min(w, h), row = [rest.shift()];
    while (rest.length && worst([...row, rest[0]], side) <= worst(row, side)) row.push(rest.shift());
    const thick = row.reduce((t, d) => t + d.area * scale, 0) / side;
    let at = 0;
    for (const d of row) {
      const long = (d.area * scale) / thick;
      placed.push(w >= h ? { ...d, x, y: y + at, w: thick, h: long } : { ...d, x: x + at, y, w: long, h: thick });
      at += long;
    }
    if (w >= h) { x += thick; w -= thick; } else { y += thick; h -= thick; }
  }
  return placed;
}

// Parts of area and levels of energy: what belongs together has one colour.
const PART = { pes: ["PE array", 0], mac: ["MACs", 0], compute: ["compute", 0], sram: ["SRAM", 1], vector: ["vector unit", 2], noc: ["links", 4], fission: ["fission links", 4], scheduler: ["scheduler", 5],
  dram_phy: ["DRAM PHY", 3], dram: ["DRAM", 3], leakage: ["leakage", 7], waiting: ["waiting", 7], dynamic: ["dynamic", 1], overhead: ["overhead", 5] };
const partName = (k) => PART[k]?.[0] ?? k.replaceAll("_", " ");
const partColour = (k) => colour(PART[k]?.[1] ?? 6);

// `engine0.pes` belongs to engine 0; parts without a prefix to the only engine, or to the chip.
function areaTree(d) {
  const chip = [], engines = new Map();
  for (const [key, area] of Object.entries(d.area_mm2)) {
    const [head, tail] = key.includes(".") ? [key.slice(0, key.lastIndexOf(".")), key.slice(key.lastIndexOf(".") + 1)] : [null, key];
    if (head === null && (d.engines.length > 1 || ["scheduler", "dram_phy"].includes(tail))) { chip.push({ part: tail, area }); continue; }
    const name = head ?? "";
    if (!engines.has(name)) engines.set(name, []);
    engines.get(name).push({ part: tail, area });
  }
  return { chip, engines };
}

// SVG of W x H for the chip; `full`: with the DRAM beside it and a scale.
function floorplan(d, W, H, full) {
  const { chip, engines } = areaTree(d), total = Object.values(d.area_mm2).reduce((a, b) => a + b, 0);
  const items = [...chip.map((p) => ({ ...p, kind: "part" })), ...[...engines].map(([name, parts], k) => ({ name, parts, k, kind: "engine", area: parts.reduce((s, p) => s + p.area, 0) }))];
  const svg = el("svg", { viewBox: `-1 -1 ${full ? W + 132 : W + 2} ${full ? H + 26 : H + 2}`, ...(full ? {} : { width: W + 2, height: H + 2 }), role: "img", "aria-label": `Floor plan, ${three(total)} mm²` });
  const box = (p, text, sub) => {
    const g = el("g", {}, el("rect", { x: p.x + 0.5, y: p.y + 0.5, width: Math.max(0.5, p.w - 1), height: Math.max(0.5, p.h - 1), fill: partColour(p.part), "fill-opacity": 0.3, stroke: partColour(p.part) }),
      el("title", {}, `${text}: ${three(p.area)} mm², ${three((100 * p.area) / total)} %`));
    if (p.part === "pes" && p.w > 30 && p.h > 30) for (let n = 1; n < 8; n++) g.append(el("path", { d: `M${p.x + (n * p.w) / 8} ${p.y}v${p.h}M${p.x} ${p.y + (n * p.h) / 8}h${p.w}`, stroke: partColour(p.part), "stroke-opacity": 0.25, fill: "none" }));
    const fits = (w, h) => Math.min(14, w / (0.58 * Math.max(text.length, 4)), h / 1.5), size = fits(p.w - 6, p.h);
    if (full && size < 8.5 && fits(p.h - 6, p.w) >= 8.5) {  // too narrow: written upwards
      const [cx, cy] = [p.x + p.w / 2, p.y + p.h / 2];
      g.append(el("text", { x: cx, y: cy + 4, "text-anchor": "middle", "font-size": fits(p.h - 6, p.w), transform: `rotate(-90 ${cx} ${cy})`, style: "paint-order:stroke;stroke:var(--panel);stroke-width:2px" }, text));
    } else if (size >= 8.5) {
      const lines = [text, sub, `${three(p.area)} mm²`].filter((t) => t && t.length * size * 0.58 < p.w - 4);
      const fit = lines.slice(0, Math.max(1, Math.floor(p.h / (size * 1.25))));
      fit.forEach((t, n) => g.append(el("text", { x: p.x + p.w / 2, y: p.y + p.h / 2 + (n - (fit.length - 1) / 2) * size * 1.2 + size * 0.35, "text-anchor": "middle", "font-size": size, style: "paint-order:stroke;stroke:var(--panel);stroke-width:2px" }, t)));
    }
    return g;
  };
  for (const item of squarify(items, 0, 0, W, H)) {
    if (item.kind === "part") { svg.append(box(item, partName(item.part))); continue; }
    const index = d.engines.length > 1 ? Number(/(\d+)$/.exec(item.name)?.[1] ?? item.k) : 0, engine = d.engines[index];
    const band = item.h > 60 && item.w > 90 && engines.size > 1 ? 16 : 0;  // the name's strip is drawn over the parts
    for (const part of squarify(item.parts, item.x, item.y, item.w, item.h)) {
      const sub = part.part === "pes" && engine ? `${engine.rows}×${engine.cols} ${engine.dataflow}` : part.part === "sram" && engine ? bytes(engine.sram_bytes) : part.part === "vector" && engine ? `${engine.vector_lanes} lanes` : "";
      svg.append(box(part, partName(part.part), sub));
    }
    svg.append(el("rect", { x: item.x + 1, y: item.y + 1, width: item.w - 2, height: item.h - 2, fill: "none", stroke: "var(--ink)", "stroke-width": 2 }));
    if (band && engine) svg.append(el("text", { x: item.x + 6, y: item.y + 14, "font-size": 12, "font-weight": 600, style: "paint-order:stroke;stroke:var(--panel);stroke-width:3px" }, engine.tenants.length ? engine.tenants.join(", ") : engine.name));
  }
  if (!full) return svg;
  const side = Math.sqrt(total), mm = [5, 2, 1, 0.5, 0.2, 0.1].find((v) => v <= side / 2) ?? 0.1, px = mm * Math.sqrt((W * H) / total);
  svg.append(el("path", { d: `M0 ${H + 12}h${px}M0 ${H + 8}v8M${px} ${H + 8}v8`, stroke: "var(--ink)", fill: "none" }), el("text", { x: px + 8, y: H + 17, "font-size": 13 }, `${mm} mm; chip ${three(total)} mm²`));
  // The channel: as thick as its bandwidth, 2 px per GB/s.
  const wide = Math.max(3, Math.min(0.6 * H, d.dram_bytes_per_s / 5e8)), y = H / 2;
  svg.append(el("rect", { x: W, y: y - wide / 2, width: 44, height: wide, fill: partColour("dram"), "fill-opacity": 0.45 }, el("title", {}, "DRAM channel, thickness by bandwidth")),
    el("rect", { x: W + 44, y: y - 60, width: 84, height: 120, fill: partColour("dram"), "fill-opacity": 0.18, stroke: partColour("dram"), "stroke-dasharray": "5 4" }),
    el("text", { x: W + 86, y: y - 3, "text-anchor": "middle", "font-size": 14 }, "DRAM"), el("text", { x: W + 86, y: y + 15, "text-anchor": "middle", "font-size": 12 }, `${three(d.dram_bytes_per_s / 1e9)} GB/s`));
  return svg;
}
function drawFloorplan(d) { $("floorplan").replaceChildren(floorplan(d, 480, 370, true)); }

function bar(shares, total, names, colours, format) {
  return el("div", { class: "track" }, ...shares.map(([key, v]) => el("span", { style: `width:${(100 * v) / total}%;background:${colours(key)}`, title: `${names(key)}: ${format(v)}, ${percent(v / total)}` }, v / total > 0.12 ? names(key) : "")));
}
function legend(keys, names, colours) { return el("div", { class: "legend" }, ...keys.map((n) => el("span", {}, el("i", { style: `background:${colours(n)}` }), names(n)))); }
const sum = (pairs) => pairs.reduce((s, [, v]) => s + v, 0);
const largestFirst = (pairs) => pairs.filter(([, v]) => v > 0).sort((a, b) => b[1] - a[1]);
const same = (name) => name;

function drawBreakdown(d) {
  const parts = new Map();
  for (const [key, v] of Object.entries(d.area_mm2)) { const p = key.slice(key.lastIndexOf(".") + 1); parts.set(p, (parts.get(p) ?? 0) + v); }
  const area = largestFirst([...parts]), energy = largestFirst(Object.entries(d.energy_j)), tenants = largestFirst(Object.entries(d.tenant_energy_j ?? {}));
  const mm2 = (v) => `${three(v)} mm²`, joules = (v) => prefixed(v, "J"), perInference = value("energy_per_inference_j", ROW.get(state.chosen));
  const table = (pairs, format) => el("table", {}, el("tbody", {}, ...pairs.map(([k, v]) => el("tr", {}, el("td", { class: "t" }, el("i", { class: "chip", style: `background:${partColour(k)}` }), partName(k)), el("td", {}, format(v)), el("td", {}, percent(v / sum(pairs)))))));
  const energyTotal = sum(energy) || 1, scaled = perInference === null ? energy : energy.map(([k, v]) => [k, (v / energyTotal) * perInference]);
  $("breakdown").replaceChildren(
    el("div", { class: "stack" }, el("span", {}, "area"), bar(area, sum(area), partName, partColour, mm2), el("span", {}, "energy"), bar(energy, energyTotal, partName, partColour, joules),
      ...(tenants.length ? [el("span", {}, "dynamic energy by tenant"), bar(tenants, sum(tenants), same, (n) => tenantColour(d, n), joules)] : [])),
    el("div", { class: "pair" }, el("div", {}, el("h4", {}, `Area ${mm2(sum(area))}`), table(area, mm2)),
      el("div", {}, el("h4", {}, perInference === null ? `Energy of the run ${joules(energyTotal)}` : `Energy per inference ${joules(perInference)}`), table(scaled, joules))));
}

function drawLimits(d) {
  const entries = Object.entries(d.time_frac);
  if (!entries.length) { $("limits").replaceChildren(el("p", { class: "note" }, NOT_RECORDED)); return; }
  const order = ["waiting", "compute", "vector", "sram", "noc", "dram", "overhead"], names = [...new Set(entries.flatMap(([, s]) => Object.keys(s)))].sort((a, b) => order.indexOf(a) - order.indexOf(b));
  const i = ROW.get(state.chosen);
  const rows = entries.flatMap(([t, s]) => {
    const used = C.tenants[t]?.p99_deadline_frac?.[i] ?? null;
    return [el("button", { type: "button", class: "plain tenant", "aria-pressed": String(state.tenant === t), style: `opacity:${faded(t) < 1 ? 0.4 : 1}`, onclick: () => focusTenant(t) }, t),
      bar(names.map((n) => [n, s[n] ?? 0]).filter(([, v]) => v > 0.002), Math.max(1e-9, Object.values(s).reduce((a, b) => a + b, 0)), partName, partColour, (v) => three(v)),
      el("span", { class: used > 1 ? "over num" : "num", title: "99th percentile of the latency as a share of the deadline" }, used === null ? "–" : percent(used))];
  });
  $("limits").replaceChildren(el("div", { class: "stack three" }, el("span"), el("span"), el("span", { class: "num soft" }, "p99 / deadline"), ...rows), legend(names, partName, partColour),
    el("p", { class: "hint" }, "Waiting: for an engine that another request holds, or for its turn. The rest: what bounds the layers while they run. Click a tenant to bring it out in all drawings."));
}

function drawRoofline(d) {
  const r = d.roofline;
  if (!r?.intensity?.length) { waiting("roofline", NOT_RECORDED); return; }
  $("roofline").querySelector(".note")?.remove();
  const low = Math.min(...r.intensity) / 2, high = Math.max(...r.intensity) * 2;
  const seen = new Set(), traces = [];
  r.roofs.forEach((roof) => {
    const key = `${roof.macs_per_s}:${roof.dram_bytes_per_s}`;
    if (seen.has(key)) return;
    seen.add(key);
    const ridge = roof.macs_per_s / roof.dram_bytes_per_s, x = [low, Math.min(Math.max(ridge, low), high), high];
    traces.push({ type: "scatter", mode: "lines", name: roof.name, x, y: x.map((v) => Math.min(roof.macs_per_s, v * roof.dram_bytes_per_s)), line: { color: css("--soft"), width: 2, dash: DASHES[(seen.size - 1) % DASHES.length] },
      hovertemplate: `${escape_(roof.name)}: ${three(roof.macs_per_s / 1e12)} TMAC/s, ${three(roof.dram_bytes_per_s / 1e9)} GB/s<extra></extra>` });
  });
  d.tenants.forEach((name, t) => {
    const mine = r.tenant.map((v, k) => [v, k]).filter(([v]) => v === t).map(([, k]) => k);
    if (mine.length) traces.push({ type: "scatter", mode: "markers", name, x: mine.map((k) => r.intensity[k]), y: mine.map((k) => r.macs_per_s[k]),
      marker: { color: colour(t), symbol: SYMBOLS[t % 8], size: mine.map((k) => 6 + 16 * Math.sqrt(r.share[k])), opacity: 0.75 * faded(name), line: { width: 0.5, color: css("--panel") } },
      text: mine.map((k) => `${escape_(r.layer[k])}: ${three(100 * r.share[k])} % of the time, limited by ${escape_(partName(r.limit[k]))}`), hovertemplate: "%{text}<br>%{x:.3g} MAC/byte, %{y:.3s}MAC/s<extra>%{fullData.name}</extra>" });
  });
  Plotly.react("roofline", traces, layout({ xaxis: { type: "log", title: { text: "MACs per DRAM byte" }, dtick: 1 }, yaxis: { type: "log", title: { text: "MAC/s" }, dtick: 1, exponentformat: "SI", range: [Math.log10(Math.min(...r.macs_per_s)) - 0.3, Math.log10(Math.max(...r.roofs.map((f) => f.macs_per_s))) + 0.2] }, hovermode: "closest", margin: { l: 66, r: 10, t: 44, b: 48 }, legend: { orientation: "h", y: 1.01, yanchor: "bottom", font: { size: 11 } } }), CONFIG);
  clickTenant("roofline", d);
}
// A click on a mark or a name in the legend brings out its tenant.
function clickTenant(id, d) {
  const plot = $(id);
  plot.removeAllListeners("plotly_click");
  plot.removeAllListeners("plotly_legendclick");
  plot.on("plotly_click", (e) => { const name = tenantOf(d, e); if (name) focusTenant(name); });
  plot.on("plotly_legendclick", (e) => { const name = e.data[e.curveNumber].name; if (d.tenants.includes(name)) focusTenant(name); return false; });
}

function drawLatency(d) {
  const entries = Object.entries(d.latency ?? {});
  if (!entries.length) { waiting("cdf", NOT_RECORDED); $("tenants").replaceChildren(); return; }
  $("cdf").querySelector(".note")?.remove();
  const relative = entries.every(([, l]) => l.deadline_s), traces = [], tails = { x: [], y: [], color: [], text: [] };
  for (const [name, l] of entries) {
    const t = d.tenants.indexOf(name), unit = relative ? l.deadline_s : 1;
    if (!l.latency_s.length) continue;
    traces.push({ type: "scatter", mode: "lines", name, x: [l.latency_s[0] / unit, ...l.latency_s.map((v) => v / unit)], y: [0, ...l.frac.map((v) => 100 * v)], opacity: faded(name), line: { shape: "hv", color: colour(t), dash: DASHES[t % DASHES.length], width: 2.2 },
      text: ["", ...l.latency_s.map((v) => prefixed(v, "s"))], hovertemplate: "%{y:.1f} % within %{text}<extra>%{fullData.name}</extra>" });
    const at = l.frac.findIndex((v) => 100 * v >= l.percentile - 1e-9);
    if (at >= 0 && faded(name) === 1) { tails.x.push(l.latency_s[at] / unit); tails.y.push(100 * l.frac[at]); tails.color.push(colour(t)); tails.text.push(`p${l.percentile} of ${escape_(name)}: ${prefixed(l.latency_s[at], "s")}`); }
  }
  traces.push({ type: "scatter", mode: "markers", name: "its percentile", x: tails.x, y: tails.y, text: tails.text, hovertemplate: "%{text}<extra></extra>", marker: { symbol: "diamond", size: 9, color: tails.color, line: { width: 1, color: css("--panel") } }, showlegend: false });
  const all = traces.flatMap((t) => t.x).concat(relative ? [1] : []).filter((v) => v > 0);
  const span = all.length ? [Math.log10(Math.min(...all)) - 0.05, Math.log10(Math.max(...all)) + 0.05] : undefined;
  const red = { color: css("--bad"), width: 1.6, dash: "dash" }, decades = [-6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5];
  const wide = span && span[1] - span[0] > 2, ticks = decades.flatMap((k) => (wide ? [1] : [1, 2, 5]).map((m) => m * 10 ** k));
  const shapes = relative ? [{ type: "line", x0: 1, x1: 1, yref: "paper", y0: 0, y1: 1, line: red }]
    : entries.filter(([, l]) => l.deadline_s).map(([name, l]) => ({ type: "line", x0: l.deadline_s, x1: l.deadline_s, yref: "paper", y0: 0, y1: 1, line: { ...red, color: tenantColour(d, name) } }));
  Plotly.react("cdf", traces, layout({ shapes, xaxis: { title: { text: relative ? "latency as a share of the deadline" : "latency" }, type: "log", range: span, tickvals: ticks, ticktext: ticks.map((v) => (relative ? `${three(100 * v)} %` : prefixed(v, "s"))) }, yaxis: { title: { text: "requests [%]" }, range: [0, 103] }, hovermode: "closest", margin: { l: 58, r: 10, t: 34, b: 48 },
    annotations: relative ? [{ x: 0, xref: "x", y: 1, yref: "paper", yanchor: "top", xanchor: "right", showarrow: false, text: "deadline", textangle: -90, font: { color: css("--bad") } }] : [] }), CONFIG);
  clickTenant("cdf", d);
  drawTenants(d, entries);
}

function drawTenants(d, entries) {
  const i = ROW.get(state.chosen), head = ["tenant", "requests", "finished", "alone", "p99", "deadline", "p99 / deadline", "violations", "SLO at"];
  const answers = ["p99_ttft_s", "p99_tpot_s"].filter((m) => entries.some(([name]) => (C.tenants[name]?.[m]?.[i] ?? null) !== null));
  head.push(...answers.map((m) => info(m).label));
  const few = ([, l]) => l.requests < 100 / Math.max(1e-9, 100 - l.percentile) - 1e-6;
  const body = entries.map((entry) => {
    const [name, l] = entry, c = C.tenants[name] ?? {}, at = (m) => c[m]?.[i] ?? null, frac = at("p99_deadline_frac");
    return el("tr", { style: `opacity:${faded(name) < 1 ? 0.45 : 1}` }, el("td", { class: "t" }, el("i", { class: "chip", style: `background:${tenantColour(d, name)}` }), el("button", { type: "button", class: "plain", onclick: () => focusTenant(name) }, name)),
      el("td", {}, String(l.requests) + (few(entry) ? "*" : "")), el("td", {}, String(l.finished)), el("td", {}, l.isolated_s ? prefixed(l.isolated_s, "s") : "–"), el("td", {}, at("p99_latency_s") === null ? "–" : prefixed(at("p99_latency_s"), "s")),
      el("td", {}, l.deadline_s ? prefixed(l.deadline_s, "s") : "none"), el("td", { class: frac > 1 ? "over" : null }, frac === null ? "–" : percent(frac)), el("td", {}, at("slo_violation_frac") === null ? "–" : percent(at("slo_violation_frac"))), el("td", {}, `p${l.percentile}`), ...answers.map((m) => el("td", {}, show(m, at(m)))));
  });
  $("tenants").replaceChildren(el("table", {}, el("thead", {}, el("tr", {}, ...head.map((h, k) => el("th", { class: k ? null : "t", scope: "col" }, h)))), el("tbody", {}, ...body)),
    entries.some(few) ? el("p", { class: "hint" }, "* Fewer requests than the percentile needs: its tail is the slowest request seen. A longer duration_s makes it sharper.") : "",
    answers.length ? el("p", { class: "hint" }, "A request of a tenant with a p99 TTFT is one token; its latency counts from the arrival of the prompt.") : "");
}

function drawTimeline(d) {
  const t = d.timeline;
  if (!t?.start_s?.length) { waiting("timeline", NOT_RECORDED); return; }
  $("timeline").querySelector(".note")?.remove();
  const rows = t.tracks.length, height = Math.max(190, 84 + 34 * rows);
  $("timeline").style.height = `${height}px`;
  const traces = d.tenants.map((name, k) => {
    const mine = t.tenant.map((v, n) => [v, n]).filter(([v]) => v === k).map(([, n]) => n);
    return { type: "bar", orientation: "h", name, opacity: faded(name), base: mine.map((n) => 1e3 * t.start_s[n]), x: mine.map((n) => 1e3 * t.duration_s[n]), y: mine.map((n) => t.track[n]), width: 0.72, offset: -0.36,
      marker: { color: colour(k), line: { width: 0 }, pattern: { shape: ["", "/", "", "\\", ".", "x", "", "-"][k % 8], fgopacity: 0.55, size: 6, fillmode: "overlay", fgcolor: css("--panel") } },
      text: mine.map((n) => `request ${t.request[n]}, ${prefixed(t.duration_s[n], "s")}${t.units.length ? `, ${t.units[n]} units` : ""}`), textposition: "none", hovertemplate: "%{text}<br>from %{base:.4f} ms<extra>%{fullData.name}</extra>" };
  });
  const end = 1e3 * Math.max(...t.start_s.map((s, n) => s + t.duration_s[n]));
  $("timeline").dataset.end = end;
  Plotly.react("timeline", traces, layout({ height, barmode: "overlay", bargap: 0.1, dragmode: "zoom", hovermode: "closest", uirevision: state.chosen, xaxis: { title: { text: `time [ms]${t.shown < t.total ? `; first ${t.shown} of ${t.total} stretches` : ""}` }, range: [0, Math.min(end, 200)] },
    yaxis: { tickvals: t.tracks.map((_, k) => k), ticktext: t.tracks, fixedrange: true, autorange: false, range: [rows - 0.5, -0.5] }, margin: { l: 90, r: 10, t: 34, b: 44 } }), CONFIG);
  clickTenant("timeline", d);
}
// Show `factor` of the time shown, moved by `shift` of it; factor 0: the whole run.
function zoom(factor, shift = 0) {
  if (!ready("timeline")) return;
  const [a, b] = $("timeline")._fullLayout.xaxis.range, end = Number($("timeline").dataset.end);
  const half = ((b - a) * factor) / 2, middle = (a + b) / 2 + shift * (b - a);
  Plotly.relayout("timeline", { "xaxis.range": factor ? [middle - half, middle + half] : [0, end] });
}

function drawHeat(d) {
  const h = d.heat;
  if (!h?.busy?.length) { $("heat").replaceChildren(el("p", { class: "note" }, NOT_RECORDED)); return; }
  const row = 26, bins = h.busy[0].length, left = Math.max(110, 16 + 7.6 * Math.max(...h.tracks.map((name) => name.length)));
  const cell = Math.max(8, Math.floor(((($("heat").clientWidth || 1200) - left - 60) / bins))), W = left + bins * cell + 60, H = h.busy.length * row + 26;
  const svg = el("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": "Busy share of each engine over time" });
  h.busy.forEach((line, e) => {
    svg.append(el("text", { x: left - 8, y: e * row + 17, "text-anchor": "end", "font-size": 13 }, h.tracks[e]));
    line.forEach((v, k) => svg.append(el("rect", { x: left + k * cell, y: e * row + 2, width: cell - 1, height: row - 4, fill: "var(--accent)", "fill-opacity": 0.06 + 0.94 * Math.min(1, v ?? 0) },
      el("title", {}, `${h.tracks[e]}, ${prefixed(((k + 0.5) * h.end_s) / bins, "s")}: ${three(100 * v)} % busy`))));
    const mean = line.reduce((a, b) => a + b, 0) / bins;
    svg.append(el("text", { x: left + bins * cell + 8, y: e * row + 17, "font-size": 13 }, `${Math.round(100 * mean)} %`));
  });
  svg.append(el("text", { x: left, y: H - 6, "font-size": 12 }, "0"), el("text", { x: left + bins * cell, y: H - 6, "font-size": 12, "text-anchor": "end" }, prefixed(h.end_s, "s")));
  [0, 0.25, 0.5, 0.75, 1].forEach((v, k) => svg.append(el("rect", { x: left + 90 + k * 26, y: H - 17, width: 26, height: 12, fill: "var(--accent)", "fill-opacity": 0.06 + 0.94 * v })));
  svg.append(el("text", { x: left + 84, y: H - 6, "font-size": 12, "text-anchor": "end" }, "idle"), el("text", { x: left + 226, y: H - 6, "font-size": 12 }, "always busy; mean at the right"));
  $("heat").replaceChildren(svg);
}

function drawYaml() {
  const t = state.chosen, text = DATA.yaml[String(t)] ?? detailOf()?.yaml, run = DATA.path;
  $("yaml").textContent = text ?? `# dse export ${run} --format yaml --trial ${t} --out design.yaml`;
  $("copied").textContent = "";
  const other = state.pinned.find((p) => p !== t) ?? (DATA.advice.trial !== t ? DATA.advice.trial : Object.values(DATA.advice.rivals)[0]);
  const lines = [["why it is as it is", `dse why ${run} --trial ${t}`], ...(other === undefined || other < 0 ? [] : [["beside another design", `dse diff ${run}:${t} ${run}:${other}`]]),
    ["as a file", `dse export ${run} --format yaml --trial ${t} --out design.yaml`], ["its schedule, for ui.perfetto.dev", `dse export ${run} --format perfetto --trial ${t} --out schedule.json`], ["what the answer depends on", `dse sensitivity ${run}`]];
  $("commands").replaceChildren(el("dl", { class: "left" }, ...lines.flatMap(([why, command]) => [el("dt", {}, why), el("dd", {}, el("code", {}, command))])));
}

// One step of each parameter: evaluated for the recommended design, else found among the trials of the run.
function drawSteps() {
  const found = DATA.insight.steps, own = found?.trial === state.chosen, i = ROW.get(state.chosen), metrics = DATA.objectives.map((o) => o.metric);
  const rows = own ? found.rows : triedSteps(i);
  if (!rows.length) { $("steps").replaceChildren(el("p", { class: "note" }, "No trial of the run is one parameter away. ", el("code", {}, `dse why ${DATA.path} --trial ${state.chosen}`), " evaluates them.")); return; }
  const cell = (m, v) => {
    const base = value(m, i), change = base && v !== null && v !== undefined ? v / base - 1 : null, better = change === null || Math.abs(change) < 0.005 ? null : (change < 0) === info(m).minimise;
    return el("td", {}, show(m, v), change === null ? null : el("small", { class: better ? "good" : better === false ? "over" : null }, ` ${Math.abs(change) < 0.0005 ? "=" : signedPercent(change)}`));
  };
  const noted = rows.some((r) => r.dominates || r.trial !== undefined || r.why_not);
  $("steps").replaceChildren(own ? el("p", { class: "hint" }, found.sentence) : el("p", { class: "hint" }, "Trials of the run that differ in one parameter."),
    el("table", {}, el("thead", {}, el("tr", {}, el("th", { class: "t", scope: "col" }, "step"), ...metrics.map((m) => el("th", { scope: "col" }, info(m).label)), noted ? el("th", { class: "t", scope: "col" }, "") : null)),
      el("tbody", {}, ...rows.map((r) => el("tr", { class: r.feasible ? null : "out" }, el("td", { class: "t" }, `${parameterName(r.parameter)} ${tick({ name: r.parameter }, r.from)} → ${tick({ name: r.parameter }, r.to)}`), ...metrics.map((m) => cell(m, r.values[m])),
        noted ? el("td", { class: "t long" }, r.dominates ? el("b", { class: "good" }, "better in all") : r.trial !== undefined ? el("button", { type: "button", onclick: () => choose(r.trial) }, `trial ${r.trial}`) : r.why_not) : null)))));
}
function triedSteps(i) {
  const names = Object.keys(C.params), codes = names.map((n) => C.params[n].codes), found = [];
  for (let k = 0; k < N && found.length < 40; k++) {
    if (k === i || !complete(k)) continue;
    let at = -1, count = 0;
    for (let p = 0; p < names.length && count < 2; p++) if (codes[p][k] !== codes[p][i]) { at = p; count++; }
    if (count === 1) found.push({ parameter: names[at], from: param(names[at], i), to: param(names[at], k), trial: C.trial[k], feasible: world.feasible[k], values: Object.fromEntries(DATA.objectives.map((o) => [o.metric, value(o.metric, k)])) });
  }
  return found.sort((a, b) => names.indexOf(a.parameter) - names.indexOf(b.parameter) || (a.to > b.to) - (a.to < b.to));
}
async function copyYaml() {
  const text = $("yaml").textContent;
  try { await navigator.clipboard.writeText(text); } catch {  // file:// pages may be refused the clipboard
    const range = document.createRange();
    range.selectNodeContents($("yaml"));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    document.execCommand("copy");
  }
  $("copied").textContent = "copied";
}

// Of a robust study: what is judged, scenario by scenario.
function drawScenarios(d) {
  const found = Object.entries(d?.scenarios ?? {}), metrics = goals().filter((m) => found.some(([, values]) => values[m] !== undefined));
  $("scenarios").replaceChildren(...(found.length ? [el("table", {}, el("thead", {}, el("tr", {}, el("th", { class: "t", scope: "col" }, "scenario"), ...metrics.map((m) => el("th", { scope: "col" }, info(m).label)))),
    el("tbody", {}, ...found.map(([name, values]) => el("tr", { class: name === d.scenario ? "here" : null }, el("td", { class: "t" }, name + (name === d.scenario ? " (worst)" : "")), ...metrics.map((m) => el("td", { class: state.budgets[m] !== undefined && !within(m, values[m] ?? null, state.budgets[m]) ? "over" : null }, show(m, values[m])))))))] : []));
}

function drawDesign() {
  if (state.chosen === null) return;
  const i = ROW.get(state.chosen), d = detailOf(), note = DATA.policy_notes[param("policy", i)];
  $("design-name").textContent = `trial ${state.chosen}: ${architecture(i)}, ${hardware(i)}`;
  $("policy-note").replaceChildren(el("b", {}, policy(i)), note ? `: ${note}` : "", d?.scenario ? ` Drawn in its worst scenario: ${d.scenario}.` : "");
  drawScenarios(d);
  $("no-detail").hidden = Boolean(d);
  const figures = ["floorplan", "breakdown", "limits", "roofline", "cdf", "timeline", "heat"];
  for (const id of figures) $(id).closest("figure").hidden = !d;
  if (d) {
    drawFloorplan(d); drawBreakdown(d); drawLimits(d); drawHeat(d);
    whenNear("roofline", () => drawRoofline(d)); whenNear("cdf", () => drawLatency(d)); whenNear("timeline", () => drawTimeline(d));
  } else {
    const known = Object.keys(DATA.details).map(Number).filter((t) => ROW.has(t));
    $("no-detail").replaceChildren(known.length ? "Drawings were made for a spread of the front: " : "No design was drawn: the study could not be evaluated again when this page was made.",
      ...known.flatMap((t) => [el("button", { type: "button", onclick: () => choose(t) }, String(t)), " "]));
  }
  drawYaml();
  drawSteps();
}
