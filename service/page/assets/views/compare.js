// Two evaluations of the same queries: differences with intervals, relations, and the rankings that changed.
"use strict";
(() => {
  const { html, useLoaded, useMemo, whenLoaded } = proofrank;
  const { Plot, ScoresWarning, Table, axis, colour, interval, jobName, link, metric, nearest, protocol, rank, seriesColour, signed, time, triple, whole } = proofrank;

  const METRICS = [["mrr", "MRR"], ["hits@1", "Hits@1"], ["hits@3", "Hits@3"], ["hits@10", "Hits@10"]];

  function tone(difference) {
    if (difference.high !== null && difference.high < 0) return "worse";
    if (difference.low !== null && difference.low > 0) return "better";
    return undefined;
  }

  function Difference({ of }) {
    const words = { worse: " worse", better: " better" }[tone(of)] ?? "";
    return html`<span class=${tone(of)}>${signed(of.difference)}${words}</span>`;
  }

  const differenceColumns = (name, pick) => [
    { name, isText: true, value: (row) => row.name },
    { name: "A", value: (row) => pick(row).a, show: metric },
    { name: "B", value: (row) => pick(row).b, show: metric },
    { name: "Difference", value: (row) => pick(row).difference, show: (_, row) => html`<${Difference} of=${pick(row)} />` },
    { name: "Interval", value: (row) => pick(row).low, show: (_, row) => interval(pick(row).low, pick(row).high) },
    { name: "Changed triples", value: (row) => pick(row).changed, show: (number, row) => `${whole(number)}${pick(row).rests_on_few ? " (few)" : ""}` },
  ];

  const GROUP_COLUMNS = (name) => [
    ...differenceColumns(name, (row) => row.metrics.mrr),
    { name: "Better", value: (row) => row.better, show: whole },
    { name: "Worse", value: (row) => row.worse, show: whole },
    { name: "Rankings", value: (row) => row.rankings, show: whole },
  ];

  function Groups({ title, name, groups }) {
    const rows = Object.entries(groups).map(([key, group]) => ({ key, name: key, ...group }));
    if (rows.length === 0) return null;
    return html`<h2>${title}</h2><${Table} caption=${`MRR, ${title.toLowerCase()}`} columns=${GROUP_COLUMNS(name)} rows=${rows} what="rows" sort=${["Difference", false]} />`;
  }

  /** Rank against rank on logarithmic axes; rankings that did not change lie on the diagonal and are not drawn. */
  function makePlot(changed, go) {
    const points = changed.map((row, index) => ({ x: row.rank_a, y: row.rank_b, index })).sort((a, b) => a.x - b.x);
    const xs = points.map((point) => point.x);
    const isWorse = (point) => point.y > point.x;
    const pick = (keep) => points.map((point) => (keep(point) ? point.y : null));
    const most = Math.max(2, ...points.map((point) => Math.max(point.x, point.y)));
    const dots = (stroke) => ({ stroke, paths: () => null, points: { show: true, size: 6, stroke, fill: `${stroke}66` } });
    const diagonal = (plot) => {
      const { ctx } = plot;
      ctx.save();
      ctx.strokeStyle = colour("soft");
      ctx.setLineDash([6, 6]);
      ctx.beginPath();
      ctx.moveTo(plot.valToPos(1, "x", true), plot.valToPos(1, "y", true));
      ctx.lineTo(plot.valToPos(most, "x", true), plot.valToPos(most, "y", true));
      ctx.stroke();
      ctx.restore();
    };
    go.pick = (plot) => {
      const found = nearest(plot, () => true);
      if (found !== null) location.hash = go.link(changed[points[found.index].index]);
    };
    const marks = [0, 1, 2, 3, 4, 5, 6].flatMap((power) => [1, 2, 5].map((digit) => digit * 10 ** power)).filter((mark) => mark <= most);
    const ranks = (label) => ({ ...axis(label), splits: () => marks, filter: (_, splits) => splits });
    const range = () => [0.9, most * 1.2];
    const options = {
      series: [{}, dots(seriesColour(1)), dots(seriesColour(2))],
      axes: [ranks("rank in A"), ranks("rank in B")],
      scales: { x: { time: false, distr: 3, log: 10, range }, y: { distr: 3, log: 10, range } },
      cursor: { drag: { x: false }, points: { show: false } },
      hooks: { draw: [diagonal] },
    };
    return { options, data: [xs, pick(isWorse), pick((point) => !isWorse(point))] };
  }

  function changedColumns(address) {
    return [
      { name: "Triple", isText: true, value: triple, show: (text, row) => html`<a href=${address(row)}>${text}</a>` },
      { name: "Side", isText: true, value: (row) => row.side },
      { name: "Rank in A", value: (row) => row.rank_a, show: rank },
      { name: "Rank in B", value: (row) => row.rank_b, show: (value, row) => html`<span class=${value > row.rank_a ? "worse" : "better"}>${rank(value)}</span>` },
      { name: "Change of 1/rank", value: (row) => 1 / row.rank_b - 1 / row.rank_a, show: signed },
      { name: "Proved in A", isText: true, value: (row) => (row.proved_a ? "yes" : "no") },
      { name: "Proved in B", isText: true, value: (row) => (row.proved_b ? "yes" : "no") },
      { name: "Candidates", value: (row) => row.num_candidates, show: whole },
    ];
  }

  function Found({ comparison, a, b, isWhole }) {
    const { changed, overall, macro } = comparison;
    const address = (row) => link(["query", a, b], { head: row.head, relation: row.relation, tail: row.tail, side: row.side });
    const go = useMemo(() => ({}), []);
    go.link = address;
    const rows = useMemo(() => changed.map((row, key) => ({ key, ...row })), [changed]);
    const metrics = METRICS.flatMap(([key, name]) => [
      { key, name, ...overall.metrics[key] },
      { key: `macro ${key}`, name: `${name}, macro`, ...macro.metrics[key] },
    ]);
    const same = overall.rankings - changed.length;
    return html`<p class=${comparison.is_worse ? "error" : "note"}>
        MRR ${metric(overall.metrics.mrr.a)} in A, ${metric(overall.metrics.mrr.b)} in B:
        ${" "}<strong><${Difference} of=${overall.metrics.mrr} /></strong>, interval ${isWhole ? interval(overall.metrics.mrr.low, overall.metrics.mrr.high) : "…"}.
        ${" "}${whole(overall.worse)} rankings are worse, ${whole(overall.better)} better, ${whole(same)} the same.</p>
      <p class="soft" role="status">${isWhole ? "" : "Computing intervals …"}</p>
      ${comparison.scores_note && html`<p class="note">${comparison.scores_note}</p>`}
      ${(comparison.a.certified || comparison.b.certified) && html`<p class="soft">Pruned: some ranks follow from bounds on scores, and are exact all the same.</p>`}
      <h2>Changed rankings</h2>
      ${rows.length === 0 ? html`<p>No rank differs.</p>` : html`
        <${Table} caption="The worst loss of B first" columns=${changedColumns(address)} rows=${rows} what="changed rankings" numRows=${15} />
        <h2>Rank against rank</h2>
        <${Plot} make=${() => makePlot(changed, go)} keys=${[a, b]} onPick=${(plot) => go.pick(plot)}
          label="Rank in B against rank in A of the changed rankings; the table above has the same numbers" />
        <p class="soft">Above the line: worse in B. The ${whole(same)} rankings that did not change are not drawn. A click opens the nearest one.</p>`}
      <h2>Metrics</h2>
      <${Table} caption=${`Differences, B less A, with intervals of ${100 * comparison.confidence} %; macro counts each relation alike`}
        columns=${differenceColumns("Metric", (row) => row)} rows=${metrics} what="metrics" />
      <${Groups} title="By relation" name="Relation" groups=${comparison.by_relation} />
      <${Groups} title="By side" name="Side" groups=${comparison.by_side} />
      <${Groups} title="By depth" name="Depth" groups=${comparison.by_depth} />`;
  }

  function Choice({ name, jobs, value, choose }) {
    return html`<label>${name}<select value=${value} onChange=${(event) => choose(event.target.value)}>
      <option value="">…</option>
      ${jobs.map((job) => html`<option value=${job.id}>${jobName(job)}, ${protocol(job.request)} (${time(job.created)})</option>`)}
    </select></label>`;
  }

  function Compared({ a, b }) {
    // Intervals take most of the time: everything else is shown before.
    const found = useLoaded(() => proofrank.data.compare(a, b, { intervals: false }), []);
    const all = useLoaded(() => found.value === undefined ? new Promise(() => {}) : proofrank.data.compare(a, b), [found.value]);
    if (all.error !== undefined) return whenLoaded(all);
    return whenLoaded(all.value === undefined ? found : all, (comparison) => html`
      <${Found} comparison=${comparison} a=${a} b=${b} isWhole=${all.value !== undefined} />`);
  }

  function Compare({ parts }) {
    const [a = "", b = ""] = parts;
    const listed = useLoaded(() => proofrank.data.get("jobs?limit=100&state=done"), []);
    const go = (first, second) => {
      location.hash = link(["compare", first || "-", second || "-"]);
    };
    return html`<h1 tabindex="-1">Compare</h1>
      ${whenLoaded(listed, ({ jobs }) => html`<div class="row">
        <${Choice} name="A, before" jobs=${jobs} value=${a} choose=${(id) => go(id, b)} />
        <${Choice} name="B, judged" jobs=${jobs} value=${b} choose=${(id) => go(a, id)} />
        ${a.length > 1 && b.length > 1 && html`<button type="button" onClick=${() => go(b, a)}>Swap</button>`}
      </div>
      ${[["A", a], ["B", b]].map(([name, id]) => html`<${ScoresWarning} name=${name} job=${jobs.find((job) => job.id === id)} />`)}`)}
      ${a.length > 1 && b.length > 1 ? html`<${Compared} a=${a} b=${b} />` : html`<p>Choose two evaluations of the same queries.</p>`}`;
  }

  proofrank.views.compare = { title: "Compare", View: Compare };
})();
