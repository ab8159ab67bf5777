// Ranks or proves any triple, with names completed as one types.
"use strict";
(() => {
  const { html, useLoaded, useSettled, useState, whenLoaded } = proofrank;
  const { Reasons, link, triple } = proofrank;

  const FIRST = 5;
  const MOST = 50;
  const MILLISECONDS = 120;
  /** What scores may be of on a server with an embedding, and in words. */
  const SCORINGS = [["", "proofs"], ["hybrid", "hybrid"], ["embedding", "embedding"]];
  const OF_SCORES = { hybrid: ", by hybrid scores", embedding: ", by the scores of an embedding alone, by which nothing is proved" };

  /** A field for a name of the graph; the server completes what is typed. */
  function NameField({ label, name, kind, value, change }) {
    const text = useSettled(value, MILLISECONDS);
    const found = useLoaded(
      () => proofrank.data.get(`names?${new URLSearchParams({ kind, text: text.slice(0, 200), limit: 20 })}`), [text],
    );
    return html`<label>${label}
      <input name=${name} value=${value} list=${`${name}-names`} autocomplete="off" required onInput=${(event) => change(event.target.value)} />
      <datalist id=${`${name}-names`}>${(found.value?.names ?? []).map((one) => html`<option value=${one}></option>`)}</datalist>
    </label>`;
  }

  function Answer({ query }) {
    const [first, setFirst] = useState(FIRST);
    const isRanked = query.what !== "prove";
    const found = useLoaded(() => proofrank.data.post("why", {
      ...{ head: query.head, relation: query.relation, tail: query.tail, side: query.side ?? "tail" },
      ...{ policy: query.policy || null, first: isRanked ? first : 0 },
      // Only a proof is asked for otherwise.
      scoring: (isRanked && query.scoring) || null,
      corruptions: isRanked ? (/^\d+$/.test(query.corruptions) ? Number(query.corruptions) : "all") : 0,
    }), [first]);
    return html`<h2><code>${triple(query)}</code></h2>
      ${whenLoaded(found, (reasons) => html`<p>By policy ${reasons.policy.name}${isRanked && html`, among copies with another ${reasons.ranking.side}`}${
          OF_SCORES[reasons.scoring?.kind] ?? ""}.</p>
        ${reasons.scoring?.warning && html`<p class="error" role="note">Warning: ${reasons.scoring.warning}.</p>`}
        <${Reasons} reasons=${reasons} isRanked=${isRanked} more=${() => setFirst(MOST)} />`)}`;
  }

  function Ask({ query }) {
    const [asked, setAsked] = useState({ head: "", relation: "", tail: "", side: "tail", corruptions: "all", policy: "", scoring: "", ...query });
    const policies = useLoaded(() => proofrank.data.get("policies"), []);
    const info = useLoaded(() => proofrank.data.get("info"), []);
    const change = (name) => (value) => setAsked((before) => ({ ...before, [name]: value }));
    const chosen = (name) => (event) => change(name)(event.target.value);
    const go = (event) => {
      event.preventDefault();
      const { head, relation, tail, side, corruptions, policy } = asked;
      // A link may come from a server with an embedding.
      const scoring = info.value && !info.value.embedding ? "" : asked.scoring;
      location.hash = link(["ask"], { head, relation, tail, side, corruptions, policy, scoring, what: event.submitter?.value ?? "rank" });
    };
    const isAsked = query.head && query.relation && query.tail;
    return html`<h1 tabindex="-1">Ask</h1>
      <form onSubmit=${go}>
        <${NameField} label="Relation" name="relation" kind="relation" value=${asked.relation} change=${change("relation")} />
        <${NameField} label="Head" name="head" kind="constant" value=${asked.head} change=${change("head")} />
        <${NameField} label="Tail" name="tail" kind="constant" value=${asked.tail} change=${change("tail")} />
        <label>Replace<select value=${asked.side} onChange=${chosen("side")}><option value="tail">tail</option><option value="head">head</option></select></label>
        <label>Corruptions<input value=${asked.corruptions} onInput=${chosen("corruptions")} pattern="all|[0-9]+" size="6" /></label>
        <label>Policy<select value=${asked.policy} onChange=${chosen("policy")}><option value="">the live one</option>
          ${(policies.value?.policies ?? []).map(({ name }) => html`<option value=${name} selected=${name === asked.policy}>${name}</option>`)}</select></label>
        ${info.value?.embedding && html`<label>Scores<select name="scoring" value=${asked.scoring} onChange=${chosen("scoring")}>
          ${SCORINGS.map(([value, text]) => html`<option value=${value} selected=${value === asked.scoring}>${text}</option>`)}</select></label>`}
        <button type="submit" value="rank">Rank</button>
        <button type="submit" value="prove">Prove only</button>
      </form>
      ${isAsked && html`<${Answer} query=${query} />`}`;
  }

  proofrank.views.ask = { title: "Ask", View: Ask };
})();
