// The MRR of all training runs by step, with intervals.
"use strict";
(() => {
  const { html, useEffect, useLoaded, useMemo, useState, whenLoaded } = proofrank;
  const { Plot, Table, axis, interval, link, mrrOf, mrrText, nearest, percent, protocol, seriesClass, seriesColour, time } = proofrank;

  const MOST_RUNS = 20;
  const WHOLE = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].flatMap((power) => [1, 2, 5].map((digit) => digit * 10 ** power));

  /** The evaluations of runs: one row for each job with metrics, or with intervals of them. */
  function evaluations(runs) {
    return runs.flatMap((run) => run.steps.flatMap((step) => step.jobs.filter((job) => job.metrics !== null || job.intervals).map((job) => ({
      ...{ key: job.id, run: run.name, step: step.step, policy: step.policy, isStored: step.is_stored },
      ...{ labels: step.labels, job, protocol: protocol(job.request) },
    }))));
  }

  function mostFrequent(names) {
    const counts = new Map();
    for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
    return [...counts].sort((a, b) => b[1] - a[1]).map(([name]) => name);
  }

  /** uPlot's options and data: for each run its MRR and the two bounds, over the steps of all runs. */
  function makePlot(names, rows, go) {
    const tables = names.map((name) => {
      const last = new Map(rows.filter((row) => row.run === name).map((row) => [row.step, row]));
      const steps = [...last.keys()].sort((a, b) => a - b);
      const of = steps.map((step) => last.get(step).job);
      const bound = (which) => of.map((job) => (job.intervals ? job.intervals.intervals.mrr[which === "low" ? 0 : 1] : job.mrr_interval?.[which] ?? null));
      return [steps, of.map(mrrOf), bound("low"), bound("high"), of.map((job) => job.id)];
    });
    const joined = uPlot.join(tables);
    const data = [joined[0]];
    const ids = [null];
    const series = [{}];
    const bands = [];
    names.forEach((name, index) => {
      const at = data.length;
      const stroke = seriesColour(index);
      const bound = { stroke: "transparent", points: { show: false }, spanGaps: true };
      data.push(...joined.slice(1 + 4 * index, 4 + 4 * index));
      ids.push(joined[4 + 4 * index], null, null);
      series.push({ label: name, stroke, width: 2, spanGaps: true, points: { show: true, size: 7, fill: stroke } }, bound, bound);
      bands.push({ series: [at + 2, at + 1], fill: `${stroke}33` });
    });
    go.pick = (plot) => {
      const found = nearest(plot, (index) => ids[index] !== null);
      if (found !== null) location.hash = link(["step", ids[found.series][found.index]]);
    };
    const options = { series, bands, axes: [{ ...axis("step"), incrs: WHOLE }, axis("MRR")], scales: { x: { time: false } }, cursor: { drag: { x: false } } };
    return { options, data };
  }

  const COLUMNS = [
    { name: "Step", isText: true, value: (row) => row.step, show: (step, row) => html`<a href=${link(["step", row.job.id])}>${row.run} step ${step}</a>` },
    { name: "Run", isText: true, value: (row) => row.run },
    { name: "MRR", value: (row) => mrrOf(row.job), show: (_, row) => mrrText(row.job) },
    { name: "Interval (95 %)", value: (row) => row.job.mrr_interval?.low ?? null,
      show: (_, row) => interval(row.job.mrr_interval?.low ?? null, row.job.mrr_interval?.high ?? null) },
    { name: "Hits@1", value: (row) => (row.job.metrics ?? row.job.intervals)["hits@1"], show: percent },
    { name: "Hits@10", value: (row) => (row.job.metrics ?? row.job.intervals)["hits@10"], show: percent },
    { name: "State", isText: true, value: (row) => row.job.state },
    { name: "Policy", isText: true, value: (row) => row.policy.name, show: (name, row) => `${name}${row.isStored ? "" : " (no longer stored)"}` },
    { name: "Labels", isText: true, value: (row) => Object.entries(row.labels).map(([name, text]) => `${name}=${text}`).join(", ") },
    { name: "Submitted", isText: true, value: (row) => row.job.created, show: time },
  ];

  function Charts({ names, runs, query }) {
    const all = useMemo(() => evaluations(runs), [runs]);
    const protocols = mostFrequent(all.map((row) => row.protocol));
    const chosen = protocols.includes(query.ranks) ? query.ranks : protocols[0];
    const rows = all.filter((row) => row.protocol === chosen);
    const shown = names.filter((name) => rows.some((row) => row.run === name));
    const go = useMemo(() => ({}), []);
    if (all.length === 0) return html`<p>No job has ranked a policy of a run yet.</p>`;
    const choose = (event) => {
      location.hash = link(["runs"], { ranks: event.target.value });
    };
    return html`<div class="row"><label>Evaluations
        <select value=${chosen} onChange=${choose}>${protocols.map((name) => html`<option value=${name}>${name}</option>`)}</select>
      </label></div>
      <ul class="legend">${shown.map((name, index) => html`<li><span class=${`swatch ${seriesClass(index)}`}></span>${name}</li>`)}</ul>
      <${Plot} make=${() => makePlot(shown, rows, go)} keys=${[runs, chosen]} onPick=${(plot) => go.pick(plot)}
        label=${`MRR by step of ${shown.join(", ")}; the table below has the same numbers`} />
      <p class="soft">Bands are intervals of 95 % over other queries of the kind; where the
        MRR is ranked to a tolerance, the values that it can have. A click opens the nearest step.</p>
      <${Table} caption=${`Steps, ${chosen}`} columns=${COLUMNS} rows=${[...rows].reverse()} what="evaluations" />`;
  }

  function Runs({ query }) {
    const listed = useLoaded(async () => {
      const { runs } = await proofrank.data.get("runs?limit=1000");
      const names = runs.slice(0, MOST_RUNS).map((run) => run.name);
      const path = (name) => `runs/${encodeURIComponent(name)}`;
      return { names, numRuns: runs.length, path, runs: await Promise.all(names.map((name) => proofrank.data.get(path(name)))) };
    }, []);
    const [withIntervals, setWithIntervals] = useState(null);
    useEffect(() => {
      if (listed.value === undefined) return;
      // They read every ranking: the lines are drawn before.
      const { names, path } = listed.value;
      Promise.all(names.map((name) => proofrank.data.get(`${path(name)}?intervals=true`))).then(setWithIntervals, () => {});
    }, [listed.value]);
    return html`<h1 tabindex="-1">Runs</h1>
      ${whenLoaded(listed, ({ names, numRuns, runs }) => html`
        ${numRuns > names.length && html`<p class="note">The ${names.length} newest of ${numRuns} runs.</p>`}
        <${Charts} names=${names} runs=${withIntervals ?? runs} query=${query} />`)}`;
  }

  proofrank.views.runs = { title: "Runs", View: Runs };
})();
