// The chosen design: floor plan, breakdowns, limits, roofline, latencies, schedule, heat map, YAML.
const detailOf = () => DATA.details[String(state.chosen)] ?? null;
const tenantColour = (d, name) => colour(d.tenants.indexOf(name));
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

const PART = { pes: ["PE array", 0], sram: ["SRAM", 1], vector: ["vector unit", 2], noc: ["links", 4], fission: ["fission links", 4], scheduler: ["scheduler", 5], dram_phy: ["DRAM PHY", 7] };
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

function drawFloorplan(d) {
  const { chip, engines } = areaTree(d), total = Object.values(d.area_mm2).reduce((a, b) => a + b, 0), W = 560, H = 400;
  const items = [...chip.map((p) => ({ ...p, kind: "part" })), ...[...engines].map(([name, parts], k) => ({ name, parts, k, kind: "engine", area: parts.reduce((s, p) => s + p.area, 0) }))];
  const svg = el("svg", { viewBox: `0 0 ${W} ${H + 24}`, role: "img", "aria-label": `Floor plan, ${three(total)} mm²` });
  const box = (p, text, sub) => {
    const g = el("g", {}, el("rect", { x: p.x + 0.5, y: p.y + 0.5, width: Math.max(0.5, p.w - 1), height: Math.max(0.5, p.h - 1), fill: partColour(p.part), "fill-opacity": 0.3, stroke: partColour(p.part) }),
      el("title", {}, `${text}: ${three(p.area)} mm², ${three((100 * p.area) / total)} %`));
    if (p.part === "pes" && p.w > 30 && p.h > 30) for (let n = 1; n < 8; n++) g.append(el("path", { d: `M${p.x + (n * p.w) / 8} ${p.y}V${p.y + p.h}M${p.x} ${p.y + (n * p.h) / 8}H${p.x + p.w}`, stroke: partColour(p.part), "stroke-opacity": 0.25, fill: "none" }));
    const size = Math.min(14, p.w / (0.58 * Math.max(text.length, 4)), p.h / 1.5);
    if (size >= 7) {
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
  const side = Math.sqrt(total), mm = side > 4 ? 2 : side > 1.5 ? 1 : 0.2, px = mm * Math.sqrt((W * H) / total);
  svg.append(el("path", { d: `M0 ${H + 9}h${px}M0 ${H + 5}v8M${px} ${H + 5}v8`, stroke: "var(--ink)", fill: "none" }), el("text", { x: px + 8, y: H + 14, "font-size": 12 }, `${mm} mm; chip ${three(total)} mm²; DRAM ${three(d.dram_bytes_per_s / 1e9)} GB/s`));
  $("floorplan").replaceChildren(svg);
}

function bar(shares, total, colours, format) {
  return el("div", { class: "track" }, ...shares.map(([name, v]) => el("span", { style: `width:${(100 * v) / total}%;background:${colours(name)}`, title: `${name}: ${format(v)}` }, v / total > 0.14 ? name : "")));
}
function legend(names, colours) { return el("div", { class: "legend" }, ...names.map((n) => el("span", {}, el("i", { style: `background:${colours(n)}` }), n))); }

function drawBreakdown(d) {
  const sums = new Map();
  for (const [key, v] of Object.entries(d.area_mm2)) { const p = partName(key.slice(key.lastIndexOf(".") + 1)); sums.set(p, (sums.get(p) ?? 0) + v); }
  const byName = (n) => partColour(Object.keys(PART).find((k) => PART[k][0] === n) ?? n);
  const area = [...sums].sort((a, b) => b[1] - a[1]), areaTotal = area.reduce((s, [, v]) => s + v, 0);
  const energy = Object.entries(d.energy_j).sort((a, b) => b[1] - a[1]), energyTotal = energy.reduce((s, [, v]) => s + v, 0) || 1;
  const energyColour = (n) => colour({ dynamic: 1, leakage: 7, scheduler: 5 }[n] ?? 2 + energy.findIndex(([k]) => k === n));
  const tenants = Object.entries(d.tenant_energy_j ?? {}).filter(([, v]) => v > 0).sort((a, b) => b[1] - a[1]), tenantTotal = tenants.reduce((s, [, v]) => s + v, 0) || 1;
  const rows = [el("span", {}, `area ${three(areaTotal)} mm²`), bar(area, areaTotal, byName, (v) => `${three(v)} mm²`), el("span", {}, `energy ${prefixed(energyTotal, "J")}`), bar(energy, energyTotal, energyColour, (v) => prefixed(v, "J"))];
  if (tenants.length) rows.push(el("span", {}, "dynamic, by tenant"), bar(tenants, tenantTotal, (n) => tenantColour(d, n), (v) => prefixed(v, "J")));
  const numbers = el("table", {}, el("tbody", {}, ...area.map(([n, v]) => el("tr", {}, el("td", { class: "t" }, n), el("td", {}, `${three(v)} mm²`), el("td", {}, `${three((100 * v) / areaTotal)} %`))),
    ...energy.map(([n, v]) => el("tr", {}, el("td", { class: "t" }, `${n} energy`), el("td", {}, prefixed(v, "J")), el("td", {}, `${three((100 * v) / energyTotal)} %`)))));
  $("breakdown").replaceChildren(el("div", { class: "stack" }, ...rows), legend(area.map(([n]) => n), byName), numbers);
}

const LIMIT_COLOURS = { waiting: 7, compute: 0, dram: 1, sram: 2, vector: 4, noc: 3, overhead: 5 };
function drawLimits(d) {
  const entries = Object.entries(d.time_frac);
  if (!entries.length) { $("limits").replaceChildren(el("p", { class: "note" }, NOT_RECORDED)); return; }
  const names = [...new Set(entries.flatMap(([, s]) => Object.keys(s)))];
  const of = (n) => colour(LIMIT_COLOURS[n] ?? names.indexOf(n) + 2);
  const rows = entries.flatMap(([t, s]) => [el("span", {}, t), bar(Object.entries(s).filter(([, v]) => v > 0.002), Math.max(1e-9, Object.values(s).reduce((a, b) => a + b, 0)), of, (v) => `${three(100 * v)} %`)]);
  $("limits").replaceChildren(el("div", { class: "stack" }, ...rows), legend(names, of),
    el("p", { class: "hint" }, "Waiting: for an engine another request holds, or for its turn. The rest: what bounds the layers while they run."));
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
      marker: { color: colour(t), symbol: SYMBOLS[t % 8], size: mine.map((k) => 6 + 16 * Math.sqrt(r.share[k])), opacity: 0.7 },
      text: mine.map((k) => `${escape_(r.layer[k])}: ${three(100 * r.share[k])} % of the time, limited by ${escape_(r.limit[k])}`), hovertemplate: "%{text}<br>%{x:.3g} MAC/byte, %{y:.3s}MAC/s<extra>%{fullData.name}</extra>" });
  });
  Plotly.react("roofline", traces, layout({ xaxis: { type: "log", title: { text: "MACs per DRAM byte" }, dtick: 1 }, yaxis: { type: "log", title: { text: "MAC/s" }, dtick: 1, exponentformat: "SI", range: [Math.log10(Math.min(...r.macs_per_s)) - 0.3, Math.log10(Math.max(...r.roofs.map((f) => f.macs_per_s))) + 0.2] }, hovermode: "closest", margin: { l: 66, r: 10, t: 44, b: 48 }, legend: { orientation: "h", y: 1.01, yanchor: "bottom", font: { size: 11 } } }), CONFIG);
}

function drawLatency(d) {
  const entries = Object.entries(d.latency ?? {});
  if (!entries.length) { waiting("cdf", NOT_RECORDED); $("tenants").replaceChildren(); return; }
  $("cdf").querySelector(".note")?.remove();
  const relative = entries.every(([, l]) => l.deadline_s), traces = [];
  for (const [name, l] of entries) {
    const t = d.tenants.indexOf(name);
    if (l.latency_s.length) traces.push({ type: "scatter", mode: "lines", name, x: l.latency_s.map((v) => (relative ? v / l.deadline_s : v)), y: l.frac.map((v) => 100 * v), line: { shape: "hv", color: colour(t), dash: DASHES[t % DASHES.length], width: 2.2 },
      text: l.latency_s.map((v) => prefixed(v, "s")), hovertemplate: "%{y:.1f} % within %{text}<extra>%{fullData.name}</extra>" });
  }
  const all = traces.flatMap((t) => t.x).concat(relative ? [1] : []).filter((v) => v > 0);
  const span = all.length ? [Math.log10(Math.min(...all)) - 0.05, Math.log10(Math.max(...all)) + 0.05] : undefined;
  const red = { color: css("--bad"), width: 1.6, dash: "dash" };
  const shapes = relative ? [{ type: "line", x0: 1, x1: 1, yref: "paper", y0: 0, y1: 1, line: red }]
    : entries.filter(([, l]) => l.deadline_s).map(([name, l]) => ({ type: "line", x0: l.deadline_s, x1: l.deadline_s, yref: "paper", y0: 0, y1: 1, line: { ...red, color: tenantColour(d, name) } }));
  Plotly.react("cdf", traces, layout({ shapes, xaxis: { title: { text: relative ? "latency / deadline" : "latency [s]" }, type: "log", range: span }, yaxis: { title: { text: "requests [%]" }, range: [0, 102] }, hovermode: "closest", margin: { l: 58, r: 10, t: 34, b: 48 }, legend: { orientation: "h", y: 1.01, yanchor: "bottom" },
    annotations: relative ? [{ x: 0, xref: "x", y: 1, yref: "paper", yanchor: "top", xanchor: "right", showarrow: false, text: "deadline", textangle: -90, font: { color: css("--bad") } }] : [] }), CONFIG);
  const i = ROW.get(state.chosen), head = ["tenant", "requests", "finished", "alone", "p99", "deadline", "p99 / deadline", "violations"];
  $("tenants").replaceChildren(el("table", {}, el("thead", {}, el("tr", {}, ...head.map((h, k) => el("th", { class: k ? null : "t", scope: "col" }, h)))),
    el("tbody", {}, ...entries.map(([name, l]) => { const c = C.tenants[name] ?? {}, at = (m) => c[m]?.[i] ?? null, frac = at("p99_deadline_frac");
      return el("tr", {}, el("td", { class: "t" }, name), el("td", {}, String(l.requests)), el("td", {}, String(l.finished)), el("td", {}, l.isolated_s ? prefixed(l.isolated_s, "s") : "–"), el("td", {}, at("p99_latency_s") === null ? "–" : prefixed(at("p99_latency_s"), "s")),
        el("td", {}, l.deadline_s ? prefixed(l.deadline_s, "s") : "none"), el("td", { class: frac > 1 ? "over" : null }, frac === null ? "–" : three(frac)), el("td", {}, at("slo_violation_frac") === null ? "–" : `${three(100 * at("slo_violation_frac"))} %`)); }))));
}

function drawTimeline(d) {
  const t = d.timeline;
  if (!t?.start_s?.length) { waiting("timeline", NOT_RECORDED); return; }
  $("timeline").querySelector(".note")?.remove();
  const rows = t.tracks.length, height = Math.max(190, 84 + 34 * rows);
  $("timeline").style.height = `${height}px`;
  const traces = d.tenants.map((name, k) => {
    const mine = t.tenant.map((v, n) => [v, n]).filter(([v]) => v === k).map(([, n]) => n);
    return { type: "bar", orientation: "h", name, base: mine.map((n) => 1e3 * t.start_s[n]), x: mine.map((n) => 1e3 * t.duration_s[n]), y: mine.map((n) => t.track[n]), width: 0.72, offset: -0.36,
      marker: { color: colour(k), line: { width: 0 }, pattern: { shape: ["", "/", "", "\\", ".", "x", "", "-"][k % 8], fgopacity: 0.55, size: 6, fillmode: "overlay", fgcolor: css("--panel") } },
      text: mine.map((n) => `request ${t.request[n]}, ${prefixed(t.duration_s[n], "s")}${t.units.length ? `, ${t.units[n]} units` : ""}`), textposition: "none", hovertemplate: "%{text}<br>from %{base:.4f} ms<extra>%{fullData.name}</extra>" };
  });
  const end = 1e3 * Math.max(...t.start_s.map((s, n) => s + t.duration_s[n]));
  $("timeline").dataset.end = end;
  Plotly.react("timeline", traces, layout({ height, barmode: "overlay", bargap: 0.1, dragmode: "zoom", hovermode: "closest", uirevision: state.chosen, xaxis: { title: { text: `time [ms]${t.shown < t.total ? `; first ${t.shown} of ${t.total} stretches` : ""}` }, range: [0, Math.min(end, 200)] },
    yaxis: { tickvals: t.tracks.map((_, k) => k), ticktext: t.tracks, fixedrange: true, autorange: false, range: [rows - 0.5, -0.5] }, margin: { l: 90, r: 10, t: 34, b: 44 }, legend: { orientation: "h", y: 1.01, yanchor: "bottom" } }), CONFIG);
}
function zoom(factor) {
  if (!ready("timeline")) return;
  const [a, b] = $("timeline")._fullLayout.xaxis.range, end = Number($("timeline").dataset.end);
  const half = ((b - a) * factor) / 2, middle = (a + b) / 2;
  Plotly.relayout("timeline", { "xaxis.range": factor ? [middle - half, middle + half] : [0, end] });
}

function drawHeat(d) {
  const h = d.heat;
  if (!h?.busy?.length) { $("heat").replaceChildren(el("p", { class: "note" }, NOT_RECORDED)); return; }
  const left = 170, cell = 16, row = 26, bins = h.busy[0].length, W = left + bins * cell + 60, H = h.busy.length * row + 26;
  const svg = el("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": "Busy share of each engine over time" });
  h.busy.forEach((line, e) => {
    svg.append(el("text", { x: left - 8, y: e * row + 17, "text-anchor": "end", "font-size": 13 }, h.tracks[e]));
    line.forEach((v, k) => svg.append(el("rect", { x: left + k * cell, y: e * row + 2, width: cell - 1, height: row - 4, fill: "var(--accent)", "fill-opacity": 0.06 + 0.94 * Math.min(1, v ?? 0) },
      el("title", {}, `${h.tracks[e]}, ${prefixed(((k + 0.5) * h.end_s) / bins, "s")}: ${three(100 * v)} % busy`))));
    const mean = line.reduce((a, b) => a + b, 0) / bins;
    svg.append(el("text", { x: left + bins * cell + 8, y: e * row + 17, "font-size": 13 }, `${Math.round(100 * mean)} %`));
  });
  svg.append(el("text", { x: left, y: H - 6, "font-size": 12 }, "0"), el("text", { x: left + bins * cell, y: H - 6, "font-size": 12, "text-anchor": "end" }, prefixed(h.end_s, "s")));
  $("heat").replaceChildren(svg);
}

function drawYaml() {
  const text = DATA.yaml[String(state.chosen)];
  $("yaml").textContent = text ?? `# dse export RUN --format yaml --trial ${state.chosen} --out design.yaml`;
  $("copied").textContent = "";
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

function drawDesign() {
  if (state.chosen === null) return;
  const i = ROW.get(state.chosen), d = detailOf(), note = DATA.policy_notes[param("policy", i)];
  $("design-name").textContent = `trial ${state.chosen}: ${architecture(i)}, ${coded(C.hardware, i) ?? ""}`;
  $("policy-note").textContent = `Policy: ${policy(i)}${note ? `. ${note}` : ""}`
    + (d?.scenario ? ` Drawn in its worst scenario: ${d.scenario}.` : "");
  $("no-detail").hidden = Boolean(d);
  const figures = ["floorplan", "breakdown", "limits", "roofline", "cdf", "timeline", "heat"];
  for (const id of figures) $(id).closest("figure").hidden = !d;
  if (d) {
    drawFloorplan(d); drawBreakdown(d); drawLimits(d); drawRoofline(d); drawLatency(d); drawTimeline(d); drawHeat(d);
  } else {
    const known = Object.keys(DATA.details).map(Number).filter((t) => ROW.has(t));
    $("no-detail").replaceChildren(known.length ? "Drawings were made for a spread of the front: " : "No design was drawn: the study could not be evaluated again when this page was made.",
      ...known.flatMap((t) => [el("button", { type: "button", onclick: () => choose(t) }, String(t)), " "]));
  }
  drawYaml();
}
