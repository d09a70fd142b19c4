// The answer: headline, figures of the recommended design against its budgets, best of each class, other designs to see.

function drawCounts() {
  const n = DATA.counts, proof = DATA.insight.proof;
  const tried = proof?.shares ? `${n.trials.toLocaleString("en")} designs simulated` : proof?.designs ? `${n.trials.toLocaleString("en")} of ${proof.designs.toLocaleString("en")} designs simulated${proof.exact ? ", the rest proven" : ""}`
    : `${n.trials.toLocaleString("en")} trials`;
  $("counts").textContent = `${tried}, ${n.feasible.toLocaleString("en")} feasible, ${n.front} on the ${proof?.exact ? "exact " : ""}front` +
    (n.failed ? `, ${n.failed} failed` : "");
}

function drawHeadline() {
  const { headline, limits, winner } = DATA.advice;
  const rest = winner ? (limits ? `What limits it: ${typeset(limits)}.` : "") : typeset(DATA.advice.sentence.slice(headline.length).replace(/^, /, ""));
  $("headline").replaceChildren(el("b", {}, `${typeset(headline)}${winner ? "." : ""}`), rest);
}

const goals = () => [...new Set([...DATA.objectives.map((o) => o.metric), ...Object.keys(DATA.budgets)])];

// One tile per objective and budget: the value, how much of the budget it takes, the range from the constants.
function drawTiles() {
  const trial = DATA.advice.trial;
  if (!ROW.has(trial)) return;
  const i = ROW.get(trial), ranges = DATA.insight.intervals ?? {};
  $("tiles").replaceChildren(...goals().map((m) => {
    const v = value(m, i), bound = DATA.budgets[m], over = bound !== undefined && !within(m, v, bound);
    const tile = el("div", { class: "tile", title: info(m).meaning || null }, el("span", { class: "name" }, info(m).label), el("b", { class: over ? "over" : null }, show(m, v)));
    if (bound !== undefined && v !== null) {
      const used = info(m).minimise ? v / bound : bound / v;
      tile.append(el("span", { class: "gauge", role: "img", "aria-label": `${percent(used)} of the budget` }, el("i", { class: over ? "bad" : null, style: `width:${Math.min(100, 100 * used)}%` })),
        el("small", {}, info(m).minimise ? `${percent(used)} of the budget, ${show(m, bound)}` : `budget ${show(m, bound)} or more`));
    } else tile.append(el("small", {}, bound !== undefined ? `budget ${show(m, bound)}` : info(m).minimise ? "objective: less is better" : "objective: more is better"));
    if (ranges[m]) tile.append(el("small", { title: "9 of 10 draws of the technology constants within their ranges" }, `constants: ${show(m, ranges[m][0])} to ${show(m, ranges[m][1])}`));
    return tile;
  }));
}

// The nearest design of every class to the ideal corner, against the winner.
function drawClasses() {
  const { winner, trial, rivals } = DATA.advice;
  if (CLASSES.length < 2 || !winner) { $("classes").closest(".block").hidden = true; return; }
  const best = { ...rivals, [winner]: trial }, w = ROW.get(trial), front = new Set(DATA.ranking.map((t) => ROW.get(t)));
  const head = ["class", "tried", "feasible", "on front", "best design", ...DATA.objectives.map((o) => info(o.metric).label)];
  const rows = [...CLASSES].sort((a, b) => (b === winner) - (a === winner)).map((name) => {
    const mine = [...Array(N).keys()].filter((i) => architecture(i) === name), i = ROW.get(best[name]);
    const counts = [mine.length, mine.filter((k) => C.feasible[k]).length, mine.filter((k) => front.has(k)).length].map((n) => el("td", {}, n.toLocaleString("en")));
    const cells = i === undefined ? [el("td", { class: "t", colspan: 1 + DATA.objectives.length }, "no design of this class meets the budgets")]
      : [el("td", { class: "t long" }, el("button", { type: "button", onclick: () => choose(best[name]) }, `trial ${best[name]}`), ` ${hardware(i)}, ${policy(i)}`),
        ...DATA.objectives.map((o) => {
          const v = value(o.metric, i), base = value(o.metric, w), change = name === winner || !base || v === null ? null : v / base - 1;
          const better = change === null || Math.abs(change) < 0.005 ? null : (change < 0) === o.minimise;
          return el("td", {}, show(o.metric, v), change === null ? null : el("small", { class: better ? "good" : better === false ? "over" : null }, ` ${Math.abs(change) >= 1 ? `${three(v / base)}×` : signedPercent(change)}`));
        })];
    return el("tr", {}, el("td", { class: "t" }, glyph(CLASSES.indexOf(name)), name === winner ? el("b", {}, name) : name), ...counts, ...cells);
  });
  $("classes").replaceChildren(el("table", {}, el("thead", {}, el("tr", {}, ...head.map((h, k) => el("th", { scope: "col", class: k === 0 || k === 4 ? "t" : null }, h)))), el("tbody", {}, ...rows)));
}

function drawCards() {
  $("cards").replaceChildren(...DATA.recommended.map(({ label, trial }) => {
    const i = ROW.get(trial);
    const figures = DATA.objectives.map((o) => show(o.metric, value(o.metric, i))).join(" · ");
    return el("button", { type: "button", style: `--c: ${colour(classIndex(i))}`, onclick: () => choose(trial), title: DATA.objectives.map((o) => info(o.metric).label).join(" · ") },
      el("small", {}, typeset(label[0].toUpperCase() + label.slice(1))), el("b", {}, figures),
      el("span", {}, glyph(classIndex(i)), `trial ${trial}: ${hardware(i)}, ${policy(i)}`));
  }));
}
