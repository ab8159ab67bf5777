// The same answers from a report: `window.PROOFRANK_REPORT` has them, rankings and comparisons in a shorter form.
"use strict";
proofrank.report = (() => {
  const kept = window.PROOFRANK_REPORT;
  if (kept === undefined) return null;
  const { Problem } = proofrank.server;

  const missing = (what) => Promise.reject(new Problem(404, `This report does not hold ${what}.`));

  function rankingAt(job, row) {
    const of = kept.rankings[job];
    const optimistic = of.optimistic[row];
    const pessimistic = of.pessimistic[row];
    const ranks = { optimistic, realistic: (optimistic + pessimistic) / 2, pessimistic, random: of.random[row] };
    const rank = ranks[of.ties];
    return {
      query_index: of.query_index[row],
      head: kept.constants[of.head[row]],
      relation: kept.relations[of.relation[row]],
      tail: kept.constants[of.tail[row]],
      side: of.is_head[row] ? "head" : "tail",
      rank,
      reciprocal_rank: 1 / rank,
      ranks,
      score: of.score[row] ?? of.log_probability[row],
      log_probability: of.log_probability[row],
      proved: Boolean(of.proved[row]),
      steps: of.steps[row],
      num_candidates: of.num_candidates[row],
      embedding_score: of.embedding_score[row],
      corruptions_proved: of.corruptions_proved[row],
    };
  }

  function allOf(job) {
    return kept.rankings[job].query_index.map((_, row) => rankingAt(job, row));
  }

  const byRank = { query: () => 0, worst: (a, b) => b.rank - a.rank, best: (a, b) => a.rank - b.rank };

  function rankings(id, { relation, side, order = "query", offset = 0, limit = 100 }) {
    if (!(id in kept.rankings)) return missing(`job ${id}`);
    const chosen = allOf(id).filter(
      (one) => (!relation || one.relation === relation) && (!side || one.side === side),
    );
    chosen.sort(byRank[order]);
    return Promise.resolve({ total: chosen.length, rankings: chosen.slice(offset, offset + limit) });
  }

  /** The rankings whose rank differs, the worst loss of B first, as `GET /compare` lists them. */
  function changed(a, b) {
    const id = (one) => JSON.stringify([one.head, one.relation, one.tail, one.side]);
    const ofB = new Map(allOf(b).map((one) => [id(one), one]));
    const rows = allOf(a).map((one, row) => [one, ofB.get(id(one)), row]);
    const differing = rows.filter(([before, after]) => before.rank !== after.rank);
    const gain = ([before, after]) => 1 / after.rank - 1 / before.rank;
    const places = ([before, after]) => before.rank - after.rank;
    differing.sort((x, y) => gain(x) - gain(y) || places(x) - places(y) || x[2] - y[2]);
    return differing.map(([before, after]) => ({
      ...{ head: before.head, relation: before.relation, tail: before.tail, side: before.side, depth: null },
      ...{ rank_a: before.rank, rank_b: after.rank, num_candidates: before.num_candidates },
      ...{ proved_a: before.proved, proved_b: after.proved },
    }));
  }

  function compare(a, b) {
    const found = kept.comparisons[`${a} ${b}`];
    if (found === undefined && `${b} ${a}` in kept.comparisons)
      return Promise.reject(new Problem(404, "This report compares the earlier job with the later one: swap A and B."));
    if (found === undefined) return missing("this comparison: the two jobs rank different queries, or otherwise");
    const { depths, ...others } = found;
    const rows = changed(a, b).map((row, place) => ({ ...row, depth: depths === null ? null : depths[place] }));
    return Promise.resolve({ ...others, changed: rows });
  }

  function why(job, of) {
    const id = JSON.stringify([job.id, of.head, of.relation, of.tail, of.side]);
    const found = kept.reasons[id];
    return found === undefined ? missing("the proofs of this query; a server can still tell") : Promise.resolve(found);
  }

  return {
    ...{ rankings, compare, why },
    isLive: false,
    created: kept.created,
    get: (path) => (path in kept.answers ? Promise.resolve(kept.answers[path]) : missing("this")),
  };
})();
proofrank.data = proofrank.report ?? proofrank.server;
