// The served graph: counts, relations, and rules with how often proofs used them.
"use strict";
(() => {
  const { html, useLoaded, useState, whenLoaded } = proofrank;
  const { Facts, Table, jobName, protocol, time, whole } = proofrank;

  const MOST_RULES = 1000;
  const PROOFS = 200;

  const RELATIONS = [
    { name: "Relation", isText: true, value: (row) => row.name },
    { name: "Train", value: (row) => row.train, show: whole },
    { name: "Valid", value: (row) => row.valid, show: whole },
    { name: "Test", value: (row) => row.test, show: whole },
    { name: "Facts", value: (row) => row.facts, show: whole },
    { name: "Rules", value: (row) => row.rules, show: whole },
  ];

  const RULES = [
    { name: "Name", isText: true, value: (row) => row.name },
    { name: "Rule", isText: true, value: (row) => row.text, show: (text) => html`<code>${text}</code>` },
    { name: "Weight", value: (row) => row.weight },
  ];
  const USES = [
    { name: "Proofs with it", value: (row) => row.proofs, show: whole },
    { name: "Uses", value: (row) => row.uses, show: whole },
  ];

  /** Counts the rules in proofs of a job, which its policy makes anew. */
  function Count({ show }) {
    const [job, setJob] = useState("");
    const [state, setState] = useState(null);
    const listed = useLoaded(() => proofrank.data.get("jobs?limit=100&state=done"), []);
    const count = (event) => {
      event.preventDefault();
      const id = job || listed.value.jobs[0].id;
      setState({});
      proofrank.data.get(`jobs/${encodeURIComponent(id)}/rules?limit=${PROOFS}`).then(
        (value) => {
          setState({ value });
          show(value);
        },
        (error) => setState({ error }),
      );
    };
    return whenLoaded(listed, ({ jobs }) => jobs.length > 0 && html`<form onSubmit=${count}>
        <label>Proofs of<select value=${job} onChange=${(event) => setJob(event.target.value)}>
          ${jobs.map((one) => html`<option value=${one.id}>${jobName(one)}, ${protocol(one.request)} (${time(one.created)})</option>`)}
        </select></label>
        <button type="submit">Count the uses of rules</button>
      </form>
      ${state !== null && whenLoaded(state, ({ proofs, proved }) => html`<p role="status">${whole(proofs)} proofs read, of ${whole(proved)} triples that were proved.</p>`)}`);
  }

  function Shown({ graph }) {
    const [usage, setUsage] = useState(null);
    const uses = new Map((usage?.rules ?? []).map((rule) => [rule.name, rule]));
    const rules = graph.rules.map((rule, key) => {
      const { proofs = 0, uses: number = 0 } = uses.get(rule.name) ?? {};
      return { key, ...rule, proofs, uses: number };
    });
    const relations = graph.relations.map((relation) => ({ key: relation.name, ...relation }));
    return html`<${Facts} facts=${[
        ["Dataset", graph.dataset.name],
        ["Constants", whole(graph.constants)],
        ["Relations", whole(relations.length)],
        ["Facts", whole(graph.facts)],
        ["Rules", whole(graph.num_rules)],
      ]} />
      <h2>Relations</h2><${Table} caption="Triples, facts and rules of each relation" columns=${RELATIONS} rows=${relations} what="relations" />
      <h2>Rules</h2>
      ${graph.num_rules > rules.length && html`<p class="note">The first ${whole(rules.length)} of ${whole(graph.num_rules)} rules.</p>`}
      ${proofrank.data.isLive && html`<${Count} show=${setUsage} />`}
      <${Table} key=${usage === null ? "rules" : "uses"} caption="Rules" columns=${usage === null ? RULES : [...RULES, ...USES]} rows=${rules} what="rules"
        sort=${usage === null ? null : ["Uses", true]} />`;
  }

  function Graph() {
    const found = useLoaded(() => proofrank.data.get(`graph?limit=${MOST_RULES}`), []);
    return html`<h1 tabindex="-1">Graph and rules</h1>${whenLoaded(found, (graph) => html`<${Shown} graph=${graph} />`)}`;
  }

  proofrank.views.graph = { title: "Graph and rules", View: Graph };
})();
