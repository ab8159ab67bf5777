// One evaluation: metrics by relation, side, depth and steps of the proof, and its rankings.
"use strict";
(() => {
  const { html, useLoaded, useState, whenLoaded } = proofrank;
  const { Facts, Pager, Rows, Scores, Table, ROWS, ends, jobName, link, metric, percent, protocol, rank, time, triple, whole } = proofrank;

  const metricColumns = (name) => [
    { name, isText: true, value: (row) => row.key },
    { name: "MRR", value: (row) => row.mrr, show: metric },
    { name: "Hits@1", value: (row) => row["hits@1"], show: percent },
    { name: "Hits@3", value: (row) => row["hits@3"], show: percent },
    { name: "Hits@10", value: (row) => row["hits@10"], show: percent },
    { name: "Mean rank", value: (row) => row.mean_rank, show: (value) => value.toFixed(2) },
    { name: "Proved", value: (row) => row.positives_proved, show: percent },
    { name: "Corruptions proved", value: (row) => row.corruptions_proved, show: percent },
    { name: "Rankings", value: (row) => row.rankings, show: whole },
  ];

  function Groups({ caption, name, groups, sort }) {
    const rows = Object.entries(groups).map(([key, metrics]) => ({ key, ...metrics }));
    if (rows.length === 0) return null;
    return html`<${Table} caption=${caption} columns=${metricColumns(name)} rows=${rows} what="rows" sort=${sort} />`;
  }

  const isComparable = (job, other) =>
    other.id !== job.id && other.state === "done" && !other.intervals && !job.intervals && other.dataset.sha256 === job.dataset.sha256 &&
    protocol(other.request) === protocol(job.request);

  /** Links to comparisons: with the step before first, then a choice of all. */
  function Comparisons({ job }) {
    const found = useLoaded(() => proofrank.data.get("jobs?limit=100&state=done"), []);
    if (job.state !== "done" || job.intervals) return null;
    return whenLoaded(found, ({ jobs }) => {
      const others = jobs.filter((other) => isComparable(job, other));
      const earlier = others.filter((other) => job.run !== null && other.run === job.run && other.step < job.step);
      earlier.sort((a, b) => b.step - a.step);
      const choose = (event) => {
        if (event.target.value) location.hash = link(["compare", event.target.value, job.id]);
      };
      if (others.length === 0) return html`<p class="soft">No other job has ranked the same queries in the same way.</p>`;
      return html`<div class="row">
        ${earlier.length > 0 && html`<a id="compare" href=${link(["compare", earlier[0].id, job.id])}>Compare with step ${earlier[0].step}</a>`}
        <label>Compare with <select onChange=${choose}><option value="">…</option>
          ${others.map((other) => html`<option value=${other.id}>${jobName(other)} (${time(other.created)})</option>`)}
        </select></label>
      </div>`;
    });
  }

  function rankingColumns(job) {
    return [
      { name: "Triple", isText: true, value: triple, show: (text, row) => html`<a href=${link(["query", job.id],
        { head: row.head, relation: row.relation, tail: row.tail, side: row.side })}>${text}</a>` },
      { name: "Side", isText: true, value: (row) => row.side },
      { name: "Rank", value: (row) => row.rank, show: rank },
      { name: "Candidates", value: (row) => row.num_candidates, show: whole },
      { name: "Score", value: (row) => row.score, show: metric },
      ...(proofrank.scoring(job.request) === "embedding" ? [] : [
        { name: "Proved", isText: true, value: (row) => (row.proved ? `in ${row.steps} steps` : "no") },
      ]),
    ];
  }

  function Rankings({ job }) {
    const [relation, setRelation] = useState("");
    const [side, setSide] = useState("");
    const [order, setOrder] = useState("worst");
    const [page, setPage] = useState(0);
    const found = useLoaded(() => {
      const query = { order, offset: page * ROWS, limit: ROWS };
      if (relation) query.relation = relation;
      if (side) query.side = side;
      return proofrank.data.rankings(job.id, query);
    }, [relation, side, order, page]);
    const choose = (set) => (event) => {
      set(event.target.value);
      setPage(0);
    };
    const relations = Object.keys(job.metrics.by_relation);
    const columns = rankingColumns(job);
    return html`<h2>Rankings</h2>
      <div class="row">
        <label>Order<select value=${order} onChange=${choose(setOrder)}>
          <option value="worst">worst first</option><option value="best">best first</option><option value="query">as in the file</option>
        </select></label>
        <label>Relation<select value=${relation} onChange=${choose(setRelation)}><option value="">all</option>
          ${relations.map((name) => html`<option value=${name}>${name}</option>`)}</select></label>
        <label>Side<select value=${side} onChange=${choose(setSide)}>
          <option value="">both</option><option value="head">head</option><option value="tail">tail</option></select></label>
      </div>
      ${whenLoaded(found, ({ total, rankings }) => html`<div class="scroll" role="region" tabindex="0" aria-label="Rankings"><table>
          <thead><tr>${columns.map((column) => html`<th scope="col" class=${column.isText ? undefined : "number"}>${column.name}</th>`)}</tr></thead>
          <tbody><${Rows} columns=${columns} rows=${rankings} /></tbody>
        </table></div>
        <${Pager} page=${page} numPages=${Math.ceil(total / ROWS)} total=${total} what="rankings" go=${setPage} />`)}`;
  }

  function Metrics({ job }) {
    const { metrics } = job;
    const groups = useLoaded(() => proofrank.data.get(`jobs/${job.id}/groups`), []);
    return html`<${Facts} facts=${[
        ["MRR", metric(metrics.mrr), "large"],
        ["Hits@1", percent(metrics["hits@1"]), "large"],
        ["Hits@3", percent(metrics["hits@3"]), "large"],
        ["Hits@10", percent(metrics["hits@10"]), "large"],
        ["Mean rank", metrics.mean_rank.toFixed(2)],
        ["Positives proved", percent(metrics.positives_proved)],
        ["Corruptions proved", percent(metrics.corruptions_proved)],
        ["Rankings", whole(metrics.rankings)],
        ["Candidates", whole(metrics.candidates)],
        ["Seconds", metrics.seconds.toFixed(1)],
      ]} />
      <h2>By relation</h2><${Groups} caption="Metrics by relation" name="Relation" groups=${metrics.by_relation} sort=${["MRR", false]} />
      <h2>By side</h2><${Groups} caption="Metrics by side" name="Side" groups=${metrics.by_side} />
      ${whenLoaded(groups, ({ by_depth: byDepth, by_steps: bySteps }) => html`
        ${Object.keys(byDepth).length > 0 && html`<h2>By depth</h2>
          <${Groups} caption="Metrics by depth, the fewest steps of a proof" name="Depth" groups=${byDepth} />`}
        <h2>By steps of the proof</h2>
        <${Groups} caption="Metrics by the steps of the proof that the policy found" name="Steps" groups=${bySteps} />`)}
      <${Rankings} job=${job} />`;
  }

  /** What is known of a job with mrr_tolerance. */
  function Intervals({ job }) {
    const { intervals: found } = job;
    const of = (name, show) => ends(found.intervals[name], show);
    return html`<p class="soft">Each exact value lies in its interval for certain.</p><${Facts} facts=${[
        ["MRR", of("mrr", metric), "large"],
        ["Hits@1", of("hits@1", percent), "large"],
        ["Hits@3", of("hits@3", percent), "large"],
        ["Hits@10", of("hits@10", percent), "large"],
        ["Mean rank", of("mean_rank", (value) => value.toFixed(2))],
        ["Positives proved", of("positives_proved", percent)],
        ["Corruptions proved", of("corruptions_proved", percent)],
        ["Rankings", whole(found.rankings)],
        ["Candidates", whole(found.candidates)],
        ["Candidates that are open", whole(found.open)],
        ["Seconds", found.seconds.toFixed(1)],
      ]} />`;
  }

  function Shown({ job }) {
    if (job.intervals) return html`<${Intervals} job=${job} />`;
    return job.metrics === null ? html`<p>No query is ranked yet.</p>` : html`<${Metrics} job=${job} />`;
  }

  function Step({ parts }) {
    const found = useLoaded(() => proofrank.data.get(`jobs/${encodeURIComponent(parts[0] ?? "")}`), []);
    return whenLoaded(found, (job) => html`<h1 tabindex="-1">${jobName(job)}</h1>
      <${Facts} facts=${[
        ["Ranks", protocol(job.request)],
        ["Policy", `${job.policy.name} (${job.policy.sha256.slice(0, 12)})`],
        ["Dataset", job.dataset.name],
        ["Engine", job.engine ?? "–"],
        ["State", job.error === null ? job.state : `${job.state}: ${job.error}`],
        ["Submitted", time(job.created)],
        ["Job", job.id],
      ]} />
      <${Scores} job=${job} />
      <${Comparisons} job=${job} />
      <${Shown} job=${job} />`);
  }

  proofrank.isComparable = isComparable;
  proofrank.views.step = { title: "Step", View: Step };
})();
