// The frame of the page: navigation, the key, and the view that the address asks for.
"use strict";
(() => {
  const { html, readLink, useEffect, useRef, useState, views } = proofrank;

  const NAVIGATION = [["", "Overview"], ["runs", "Runs"], ["compare", "Compare"],
    ...(proofrank.data.isLive ? [["ask", "Ask"]] : []), ["graph", "Graph and rules"]];

  function KeyField({ onDone }) {
    const [value, setValue] = useState(proofrank.server.key());
    const keep = (event) => {
      event.preventDefault();
      proofrank.server.setKey(value.trim());
      onDone();
    };
    return html`<form onSubmit=${keep}>
      <label>Key of this server, kept until the tab is closed
        <input type="password" autocomplete="off" name="key" value=${value} onInput=${(event) => setValue(event.target.value)} />
      </label>
      <button type="submit">Use this key</button>
    </form>`;
  }

  function Missing() {
    return html`<h1 tabindex="-1">No such view</h1><p><a href="#/">Overview</a></p>`;
  }

  function App() {
    const [hash, setHash] = useState(location.hash);
    const [isAsking, setAsking] = useState(false);
    const [attempt, setAttempt] = useState(0);
    const main = useRef(null);
    const isFirst = useRef(true);
    useEffect(() => {
      const change = () => setHash(location.hash);
      addEventListener("hashchange", change);
      const forget = proofrank.server.onMissingKey(() => setAsking(true));
      return () => {
        removeEventListener("hashchange", change);
        forget();
      };
    }, []);
    const { parts: [name = "", ...parts], query } = readLink(hash);
    const view = views[name === "" ? "overview" : name] ?? { title: "No such view", View: Missing };
    useEffect(() => {
      document.title = `${view.title} – proofrank`;
      // A reader of the screen goes on at the new view; the first one begins at the top anyway.
      if (!isFirst.current) {
        scrollTo(0, 0);
        main.current.focus();
      }
      isFirst.current = false;
    }, [hash]);
    const done = () => {
      setAsking(false);
      setAttempt(attempt + 1);
    };
    return html`
      <header>
        <a class="skip" href=${hash || "#/"} onClick=${(event) => { event.preventDefault(); main.current.focus(); }}>Skip to the content</a>
        <span class="brand">proofrank</span>
        <nav aria-label="Views">${NAVIGATION.map(([target, title]) => html`
          <a href=${`#/${target}`} aria-current=${target === name ? "page" : undefined}>${title}</a>`)}</nav>
        ${proofrank.data.isLive && html`<span><a href="docs">API</a> </span>
          <button type="button" aria-expanded=${isAsking} onClick=${() => setAsking(!isAsking)}>Key</button>`}
      </header>
      <main ref=${main} tabindex="-1">
        ${isAsking && html`<${KeyField} onDone=${done} />`}
        <${view.View} key=${`${attempt} ${hash}`} parts=${parts} query=${query} />
      </main>`;
  }

  preact.render(html`<${App} />`, document.getElementById("app"));
})();
