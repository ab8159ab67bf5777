// One query under one or two policies: its proofs side by side, and what scored higher.
"use strict";
(() => {
  const { html, useLoaded, useState, whenLoaded } = proofrank;
  const { Candidate, Facts, beam, jobName, link, metric, rank, scoring, triple, whole } = proofrank;

  const FIRST = 5;
  const MOST = 50;

  function Reasons({ reasons, more, isRanked = true }) {
    const { ranking, num_higher: higher, num_tied: tied, ahead } = reasons;
    const hidden = higher + tied - ahead.length;
    return html`${isRanked && html`<${Facts} facts=${[
        ["Rank", `${rank(ranking.rank)} of ${whole(ranking.num_candidates)}`, "large"],
        ["Score", metric(ranking.score)],
        ["Score higher", whole(higher)],
        ["Score as much", whole(tied)],
      ]} />`}
      <${Candidate} candidate=${reasons.positive} positive=${reasons.positive} />
      ${ahead.length > 0 && html`<h3>What outranked it</h3>`}
      ${ahead.map((candidate) => html`<${Candidate} key=${triple(candidate)} candidate=${candidate} positive=${reasons.positive} />`)}
      ${hidden > 0 && html`<p>${whole(hidden)} more are not shown.
        ${proofrank.data.isLive && ahead.length < MOST && html` <button type="button" onClick=${more}>Show up to ${MOST}</button>`}</p>`}`;
  }

  /** By which scores the job ranked, and whether these are the ones shown; older servers show those of proofs. */
  function ScoresNote({ ofJob, ofReasons }) {
    if (ofJob === "proof") return null;
    if (ofJob !== ofReasons)
      return html`<p class="note">The job ranked by ${ofJob} scores. Here each candidate has the score of its proof, so that ranks and
        scores differ from the job's.</p>`;
    return html`<p class="soft">${ofJob === "hybrid"
      ? "The job ranked by hybrid scores: each is the sum of a part by the embedding and one by proof or failure."
      : "The job ranked by the scores of an embedding alone, by which nothing is proved."}</p>`;
  }

  function Column({ id, letter, of }) {
    const [first, setFirst] = useState(FIRST);
    const job = useLoaded(() => proofrank.data.get(`jobs/${encodeURIComponent(id)}`), []);
    const reasons = useLoaded(async () => {
      if (job.value === undefined) return undefined;
      return proofrank.data.why(job.value, of, { first, alternatives: 5 });
    }, [job.value, first]);
    return html`<section aria-label=${letter}>
      ${whenLoaded(job, (value) => html`<h2>${letter}: <a href=${link(["step", id])}>${jobName(value)}</a></h2>
        ${beam(value.request) > 1 && html`<p class="soft">The job ranked by beams of up to ${beam(value.request)} trajectories. Each
          candidate has all proofs of its beam, the best first.</p>`}
        ${reasons.value !== undefined && html`<${ScoresNote} ofJob=${scoring(value.request)} ofReasons=${reasons.value.scoring?.kind ?? "proof"} />`}
        ${reasons.error !== undefined && [404, 409].includes(reasons.error.status)
          ? html`<p class="note">${reasons.error.message}. Proofs need the policy itself${
            scoring(value.request) !== "proof" && ", and scores the embedding of the job"}: give each step a policy name of its own to
            keep it.</p>`
          : whenLoaded(reasons, (found) => html`<${Reasons} reasons=${found} more=${() => setFirst(MOST)} />`)}`)}
    </section>`;
  }

  function Query({ parts, query }) {
    const { head = "", relation = "", tail = "", side = "tail" } = query;
    const of = { head, relation, tail, side };
    return html`<h1 tabindex="-1"><code>${triple(of)}</code></h1>
      <p>Ranked among copies with another ${side}.
        ${parts.length === 2 && html` <a href=${link(["compare", ...parts])}>Back to the comparison</a>`}</p>
      <div class="columns">
        ${parts.slice(0, 2).map((id, index) => html`<${Column} key=${index} id=${id} letter=${parts.length === 1 ? "Policy" : "AB"[index]} of=${of} />`)}
      </div>`;
  }

  proofrank.Reasons = Reasons;
  proofrank.views.query = { title: "Query", View: Query };
})();
