// What is served, how busy the server is, and its jobs, live.
"use strict";
(() => {
  const { html, useEffect, useLoaded, useRepeated, useState, whenLoaded } = proofrank;
  const { Facts, Table, Failure, fixed, jobName, link, mrrOf, mrrText, percent, protocol, storedText, time, whole } = proofrank;

  const SECONDS_BETWEEN = 2;
  const SECONDS_BETWEEN_POLICIES = 30;
  const MOST_FOLLOWED = 3; // A browser keeps six connections to a server, and the views need some.

  function Cancel({ job, onDone }) {
    const [isAsked, setAsked] = useState(false);
    const [error, setError] = useState(null);
    const cancel = () => proofrank.data.cancel(job.id).then(onDone, setError);
    if (error !== null) return html`<${Failure} error=${error} />`;
    if (!isAsked) return html`<button type="button" onClick=${() => setAsked(true)}>Cancel</button>`;
    return html`<button type="button" onClick=${cancel}>Cancel this job for good</button>
      <button type="button" onClick=${() => setAsked(false)}>Keep it</button>`;
  }

  /** A job that has not ended, kept up to date by the server's events. */
  function LiveJob({ job, isFollowed, onEnd }) {
    const [latest, setLatest] = useState(job);
    useEffect(() => {
      if (!isFollowed) return undefined;
      const stop = new AbortController();
      proofrank.data.follow(job.id, setLatest, stop.signal).then(onEnd, () => {});
      return () => stop.abort();
    }, [job.id, isFollowed]);
    const now = isFollowed ? latest : job;
    const { queries, queries_done: done } = now.progress;
    return html`<tr>
      <th scope="row"><a href=${link(["step", job.id])}>${jobName(now)}</a></th>
      <td>${protocol(now.request)}</td>
      <td>${now.state}${now.error && `: ${now.error}`}</td>
      <td><progress max=${queries} value=${done} aria-label="Queries that are ranked"></progress> ${whole(done)} of ${whole(queries)}</td>
      <td>${now.engine ?? "–"}</td>
      <td class="number">${mrrText(now)}</td>
      <td><${Cancel} job=${now} onDone=${onEnd} /></td>
    </tr>`;
  }

  function Unfinished({ jobs, onEnd }) {
    if (jobs.length === 0) return html`<p>No job runs or waits.</p>`;
    return html`<div class="scroll" role="region" tabindex="0" aria-label="Jobs that run or wait"><table>
      <thead><tr><th scope="col">Job</th><th scope="col">Ranks</th><th scope="col">State</th>
        <th scope="col">Progress</th><th scope="col">Engine</th><th scope="col" class="number">MRR so far</th><th scope="col">Cancel</th></tr></thead>
      <tbody>${jobs.map((job, index) => html`<${LiveJob} key=${job.id} job=${job} onEnd=${onEnd}
        isFollowed=${index >= jobs.length - MOST_FOLLOWED} />`)}</tbody>
    </table></div>`;
  }

  const COLUMNS = [
    { name: "Job", isText: true, value: jobName, show: (name, job) => html`<a href=${link(["step", job.id])}>${name}</a>` },
    { name: "Ranks", isText: true, value: (job) => protocol(job.request) },
    { name: "State", isText: true, value: (job) => job.state },
    { name: "Engine", isText: true, value: (job) => job.engine ?? null, show: (engine) => engine ?? "–" },
    { name: "MRR", value: mrrOf, show: (_, job) => mrrText(job) },
    { name: "Hits@1", value: (job) => job.metrics?.["hits@1"] ?? null, show: percent },
    { name: "Hits@10", value: (job) => job.metrics?.["hits@10"] ?? null, show: percent },
    { name: "Queries", value: (job) => job.progress.queries, show: whole },
    { name: "Submitted", isText: true, value: (job) => job.created, show: time },
  ];

  function Ended({ jobs }) {
    const rows = jobs.map((job) => ({ ...job, key: job.id }));
    return html`<${Table} caption="The latest jobs that have ended" columns=${COLUMNS} rows=${rows} what="jobs" />`;
  }

  const POLICY_COLUMNS = [
    { name: "Policy", isText: true, value: (policy) => policy.name },
    { name: "Live", isText: true, value: (policy) => (policy.active ? "live" : "") },
    { name: "Run", isText: true, value: (policy) => (policy.run === null ? null : `${policy.run} step ${policy.step}`), show: (run) => run ?? "–" },
    { name: "Weights of hybrid scores", isText: true, value: (policy) => storedText(policy.hybrid) },
    { name: "Stored", isText: true, value: (policy) => policy.created, show: time },
  ];

  /** The stored policies; in a report, those of its jobs that the server still had. */
  function Policies() {
    const [state, setState] = useState({});
    const load = () => proofrank.data.get("policies").then((value) => setState({ value }), (error) => setState({ error }));
    if (proofrank.data.isLive) useRepeated(load, 1000 * SECONDS_BETWEEN_POLICIES);
    else useEffect(() => void load(), []);
    return html`<h2>Policies</h2>${whenLoaded(state, ({ policies }) => {
      const rows = policies.map((policy) => ({ ...policy, key: policy.name }));
      return rows.length === 0 ? html`<p>No policy of these jobs was stored any more.</p>`
        : html`<${Table} caption="Stored policies" columns=${POLICY_COLUMNS} rows=${rows} what="policies" />`;
    })}`;
  }

  function Served({ info }) {
    const { dataset, policy } = info;
    return html`<${Facts} facts=${[
      ["Dataset", dataset.name],
      ["Live policy", `${policy.name} (${policy.sha256.slice(0, 12)})`],
      ["Constants", whole(dataset.constants)],
      ["Relations", whole(dataset.relations.length)],
      ["Rules", whole(dataset.rules)],
      ["Test triples", whole(dataset.test)],
      ["Embedding", info.embedding ? `${info.embedding.name} (${info.embedding.kind})` : "none"],
      ["Engine", `${info.engine} on ${info.device}`],
      ["Version", info.version],
    ]} />`;
  }

  function Activity({ now }) {
    return html`<${Facts} facts=${[
      ["Stage", `${now.stage}, for ${whole(Math.round(now.seconds))} s`],
      ["Candidates per second", fixed(0)(now.candidates_per_second), "large"],
      ["Queue", `${whole(now.queued_candidates)} of ${whole(now.max_queued_candidates)} candidates`],
      ["Requests and chunks of jobs", whole(now.tasks)],
      ["Jobs", Object.entries(now.jobs).map(([state, number]) => `${number} ${state}`).join(", ")],
    ]} />`;
  }

  function Live() {
    const [state, setState] = useState({});
    const load = () =>
      Promise.all([proofrank.data.get("activity"), proofrank.data.get("jobs?limit=100")]).then(
        ([activity, { jobs }]) => setState({ value: { activity, jobs } }),
        (error) => setState({ error }),
      );
    useRepeated(load, 1000 * SECONDS_BETWEEN);
    return whenLoaded(state, ({ activity, jobs }) => {
      const isOver = (job) => !["queued", "running"].includes(job.state);
      return html`<h2>Now</h2><${Activity} now=${activity} />
        <h2>Jobs that run or wait</h2>
        <${Unfinished} jobs=${jobs.filter((job) => !isOver(job))} onEnd=${load} />
        <h2>Jobs</h2><${Ended} jobs=${jobs.filter(isOver)} />`;
    });
  }

  function Overview() {
    const info = useLoaded(() => proofrank.data.get("info"), []);
    const jobs = useLoaded(() => (proofrank.data.isLive ? Promise.resolve(null) : proofrank.data.get("jobs?limit=100")), []);
    return html`<h1 tabindex="-1">Overview</h1>
      ${!proofrank.data.isLive && html`<p class="note">A report, written ${time(proofrank.data.created)}.</p>`}
      ${whenLoaded(info, (value) => html`<${Served} info=${value} />`)}
      ${proofrank.data.isLive ? html`<${Live} />` : whenLoaded(jobs, (value) => html`<h2>Jobs</h2><${Ended} jobs=${value.jobs} />`)}
      <${Policies} />`;
  }

  proofrank.views.overview = { title: "Overview", View: Overview };
})();
