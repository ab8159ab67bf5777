// Proofs as nested lists, and the steps with what else the policy could have done.
"use strict";
(() => {
  const { html, fixed, metric, signed, triple } = proofrank;

  const BRANCHES = new Set(["├─ ", "└─ ", "│  ", "   "]);

  /** The lines of a proof as a tree of {text, how, children}, and its last line, which says how it ended. */
  function readProof(text) {
    const lines = text.split("\n");
    const verdict = lines.pop();
    const root = { children: [] };
    const open = [root];
    for (const line of lines) {
      let depth = 0;
      while (BRANCHES.has(line.slice(3 * depth, 3 * depth + 3))) depth += 1;
      const [, goal, how] = /^(.*?)(?:  (\[.*))?$/s.exec(line.slice(3 * depth));
      const node = { goal, how: how ?? "", children: [] };
      open.length = depth + 1;
      open[depth].children.push(node);
      open.push(node);
    }
    return { roots: root.children, verdict };
  }

  function Nodes({ nodes, isRoot }) {
    return html`<ul class=${isRoot ? "tree" : undefined}>${nodes.map((node) => html`<li>
      <code>${node.goal}</code> <span class="how">${node.how}</span>
      ${node.children.length > 0 && html`<${Nodes} nodes=${node.children} />`}
    </li>`)}</ul>`;
  }

  function Proof({ text }) {
    const { roots, verdict } = readProof(text);
    return html`<div><${Nodes} nodes=${roots} isRoot /><p>${verdict}</p></div>`;
  }

  function Step({ step, number }) {
    return html`<li>
      <p>Step ${number}: <code>${step.goals[0]}</code>${step.goals.length > 1 && html` <span class="soft">and ${
        step.goals.length - 1} more ${step.goals.length === 2 ? "goal" : "goals"}</span>`}</p>
      <ul>${step.alternatives.map((one) => html`<li class=${one.is_chosen ? undefined : "soft"}>
        ${fixed(3)(one.probability)} ${one.how}${one.is_chosen && html` <strong>(taken)</strong>`}:
        ${" "}<code>${one.goals.join(", ")}</code>
      </li>`)}
      ${step.num_left_out > 0 && html`<li class="soft">${fixed(3)(step.probability_left_out)} ${step.num_left_out} others</li>`}
      </ul>
    </li>`;
  }

  /** The parts of a hybrid score, and how far each is from that of the positive. */
  function Parts({ candidate, positive }) {
    const [embedding, proof] = [candidate.embedding_part ?? null, candidate.proof_part ?? null];
    if (embedding === null || proof === null) return null;
    return html`<p class="parts">${signed(embedding)} by the embedding, ${signed(proof)} by ${candidate.proved ? "its proof" : "its failure"}.
      ${candidate !== positive && html` To the triple: ${signed(candidate.score - positive.score)}, of which ${
        signed(embedding - positive.embedding_part)} by the embedding and ${
        signed(proof - positive.proof_part)} by proof or failure.`}</p>`;
  }

  /** A candidate: its score, its proof if any was tried, and on demand the alternatives of each step. */
  function Candidate({ candidate, positive }) {
    const title = { positive: "The triple itself", higher: "Scores higher", tied: "Scores as much", lower: "Scores lower" };
    const heading = html`<h3>${title[candidate.standing]}: <code>${triple(candidate)}</code></h3>`;
    if (candidate.proof === "")
      return html`<section class="candidate" data-standing=${candidate.standing}>${heading}
        <p class="soft">Score ${metric(candidate.score)} by the embedding</p></section>`;
    return html`<section class="candidate" data-standing=${candidate.standing}>${heading}
      <p class="soft">Score ${metric(candidate.score)}, ${candidate.proved ? "proved" : "not proved"} in ${
        candidate.steps.length} steps</p>
      <${Parts} candidate=${candidate} positive=${positive} />
      <${Proof} text=${candidate.proof} />
      ${(candidate.proofs ?? []).length > 1 && html`<details><summary>${candidate.proofs.length} proofs in the beam</summary>
        ${candidate.proofs.slice(1).map((text, index) => html`<${Proof} key=${index} text=${text} />`)}
      </details>`}
      <details><summary>Alternatives of each step</summary>
        <ol class="tree">${candidate.steps.map((step, index) => html`<${Step} step=${step} number=${index + 1} />`)}</ol>
      </details>
    </section>`;
  }

  Object.assign(proofrank, { Proof, Candidate, readProof });
})();
