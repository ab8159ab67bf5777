// Tables that are sorted by a click on a heading and shown a page at a time.
"use strict";
(() => {
  const { html, useState, whole } = proofrank;

  const ROWS = 25;

  function compare(a, b) {
    if (a === b) return 0;
    if (a === null || a === undefined) return 1;
    if (b === null || b === undefined) return -1;
    return typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
  }

  function Pager({ page, numPages, total, what, go }) {
    if (numPages <= 1) return null;
    return html`<nav class="pager" aria-label=${`Pages of ${what}`}>
      <button type="button" disabled=${page === 0} onClick=${() => go(page - 1)}>Previous</button>
      <span>Page ${page + 1} of ${whole(numPages)} (${whole(total)} ${what})</span>
      <button type="button" disabled=${page + 1 >= numPages} onClick=${() => go(page + 1)}>Next</button>
    </nav>`;
  }

  function Rows({ columns, rows }) {
    return rows.map((row) => html`<tr key=${row.key}>${columns.map((column, index) => {
      const shown = (column.show ?? ((value) => value))(column.value(row), row);
      const name = column.isText ? undefined : "number";
      return index === 0 ? html`<th scope="row" class=${name}>${shown}</th>` : html`<td class=${name}>${shown}</td>`;
    })}</tr>`);
  }

  /**
   * A table. Each column has `name`, `value(row)`, perhaps `show(value, row)`, and `isText` unless it holds numbers.
   * `sort` is [name of a column, whether it falls] at first; without it the rows stay in their order.
   */
  function Table({ caption, columns, rows, what, sort = null, numRows = ROWS }) {
    const [order, setOrder] = useState(sort);
    const [page, setPage] = useState(0);
    let shown = rows;
    if (order !== null) {
      const [name, falls] = order;
      const { value } = columns.find((column) => column.name === name);
      const keyed = rows.map((row) => [value(row), row]);
      keyed.sort(([a], [b]) => (falls && a !== null && b !== null ? compare(b, a) : compare(a, b)));
      shown = keyed.map(([, row]) => row);
    }
    const numPages = Math.ceil(shown.length / numRows);
    const at = Math.min(page, Math.max(numPages - 1, 0));
    const choose = (column) => {
      const falls = order !== null && order[0] === column.name ? !order[1] : !column.isText;
      setOrder([column.name, falls]);
      setPage(0);
    };
    const direction = (column) =>
      order !== null && order[0] === column.name ? (order[1] ? "descending" : "ascending") : undefined;
    const arrow = { ascending: " ↑", descending: " ↓" };
    return html`<div class="scroll" role="region" tabindex="0" aria-label=${caption}>
        <table>
          <caption>${caption}</caption>
          <thead><tr>${columns.map((column) => html`
            <th scope="col" class=${column.isText ? undefined : "number"} aria-sort=${direction(column)}>
              <button type="button" onClick=${() => choose(column)}>${column.name}<span aria-hidden="true">${
                arrow[direction(column)] ?? ""}</span></button>
            </th>`)}</tr></thead>
          <tbody><${Rows} columns=${columns} rows=${shown.slice(at * numRows, (at + 1) * numRows)} /></tbody>
        </table>
      </div>
      <${Pager} page=${at} numPages=${numPages} total=${shown.length} what=${what} go=${setPage} />`;
  }

  /** Terms and what they are, as a list of [term, value, class]. */
  function Facts({ facts }) {
    return html`<dl>${facts.map(([term, value, name]) => html`<div><dt>${term}</dt><dd class=${name}>${value}</dd></div>`)}</dl>`;
  }

  Object.assign(proofrank, { Table, Pager, Rows, Facts, ROWS });
})();
