// What scores are: the weights of hybrid scores, whose they are, and what to know of them.
"use strict";
(() => {
  const { html, scoring, whole } = proofrank;
  const { Facts, Table } = proofrank;

  const WHOSE = {
    given: "given with the job",
    policy: "stored with the policy",
    server: "of the server's setting",
    default: "the default",
  };
  const BONUS_OF_NONE = "log-probability of the proof";

  // Fitted weights may be such as 0.30000000000000004.
  const short = (value) => Number(value.toPrecision(6)).toString();
  const bonus = (value) => (value === null ? BONUS_OF_NONE : short(value));
  const weightsText = (of) => `weight ${short(of.weight)}, bonus ${bonus(of.bonus)}, penalty ${short(of.penalty)}`;
  const beamText = ({ width, score }) => (width === 1 ? "greedy proofs" : `a beam of ${width} (${score})`);

  /** Weights that are stored with a policy, in words. */
  function storedText(hybrid) {
    if (!hybrid) return "–";
    if (hybrid.error) return `cannot be used: ${hybrid.error}`;
    const fitted = [
      hybrid.embedding && `with ${hybrid.embedding.name}`,
      hybrid.beam && `to ${beamText(hybrid.beam)}`,
    ].filter(Boolean);
    return [
      weightsText(hybrid.weights),
      hybrid.relations > 0 && `${whole(hybrid.relations)} ${hybrid.relations === 1 ? "relation" : "relations"} with weights of their own`,
      fitted.length > 0 && `fitted ${fitted.join(" ")}`,
    ].filter(Boolean).join("; ");
  }

  const RELATION_COLUMNS = [
    { name: "Relation", isText: true, value: (row) => row.key },
    { name: "Weight", value: (row) => row.weight, show: short },
    { name: "Bonus", value: (row) => row.bonus, show: bonus },
    { name: "Penalty", value: (row) => row.penalty, show: short },
  ];

  /** The warning of the scores of a job, if there is one; `name` says which job where there are several. */
  function ScoresWarning({ job, name = "" }) {
    if (!job?.scoring?.warning) return null;
    return html`<p class="error" role="note">Warning${name && ` for ${name}`}: ${job.scoring.warning}.</p>`;
  }

  /** What the scores of a job are, unless they are those of proofs. */
  function Scores({ job }) {
    const of = job.scoring;
    if (!of || scoring(job.request) === "proof") return null;
    const rows = Object.entries(of.by_relation ?? {}).map(([key, weights]) => ({ key, ...weights }));
    return html`<h2>Scores</h2><${Facts} facts=${[
        ["Kind", of.kind],
        ["Embedding", of.embedding ? `${of.embedding.name} (${of.embedding.sha256.slice(0, 12)})` : "–"],
        ...(of.weights ? [["Weights", weightsText(of.weights)]] : []),
        ...(of.weights_from ? [["The weights are", WHOSE[of.weights_from] ?? of.weights_from]] : []),
      ]} />
      <${ScoresWarning} job=${job} />
      ${rows.length > 0 && html`<details><summary>Relations with weights of their own</summary>
        <${Table} caption="Weights of hybrid scores by relation" columns=${RELATION_COLUMNS} rows=${rows} what="relations" />
      </details>`}`;
  }

  Object.assign(proofrank, { Scores, ScoresWarning, storedText });
})();
