// Asks the server, with the key of this tab.
"use strict";
proofrank.server = (() => {
  const STORED_KEY = "proofrank-key";
  const MOST_COMPARED = 8;
  const listeners = new Set();

  class Problem extends Error {
    constructor(status, detail) {
      super(detail);
      this.status = status;
    }
  }

  const key = () => sessionStorage.getItem(STORED_KEY) ?? "";

  function setKey(value) {
    if (value) sessionStorage.setItem(STORED_KEY, value);
    else sessionStorage.removeItem(STORED_KEY);
  }

  async function send(path, { method = "GET", body, signal } = {}) {
    const headers = {};
    if (key()) headers.Authorization = `Bearer ${key()}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let answer;
    try {
      answer = await fetch(path, { method, headers, signal, body: body && JSON.stringify(body) });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(0, error instanceof TypeError && key() ? `The request could not be sent: ${error.message}`
        : "The server cannot be reached.");
    }
    if (answer.status === 401) listeners.forEach((listener) => listener());
    if (!answer.ok) {
      const problem = await answer.json().catch(() => ({}));
      throw new Problem(answer.status, problem.detail ?? `The server answered ${answer.status}.`);
    }
    return answer;
  }

  const get = async (path) => (await send(path)).json();
  const post = async (path, body) => (await send(path, { method: "POST", body })).json();

  function rankings(id, query) {
    return get(`jobs/${encodeURIComponent(id)}/rankings?${new URLSearchParams(query)}`);
  }

  /** The reasons of a rank under the policy of a job, ranked as the job ranked it. */
  function why(job, of, more = {}) {
    const { filtered, seed, ties, corruptions, protocol = null, candidates_from = null, beam = null, beam_score = null } = job.request;
    if (protocol?.startsWith("deepprooflog"))
      return Promise.reject(new Problem(422, `By protocol ${protocol} the candidates of a triple depend on its place in the job`));
    const { head, relation, tail, side } = of;
    return post("why", {
      ...{ head, relation, tail, side, filtered, seed, ties, corruptions },
      ...{ protocol, candidates_from, beam, beam_score },
      ...{ job: job.id, ...more },
    });
  }

  // Jobs that are done never change, so that the way back to a comparison needs no request.
  const compared = new Map();

  function compare(a, b, { intervals = true } = {}) {
    const path = `compare?${new URLSearchParams({ a, b, intervals })}`;
    if (!compared.has(path)) {
      if (compared.size >= MOST_COMPARED) compared.clear();
      compared.set(path, get(path));
      compared.get(path).catch(() => compared.delete(path));
    }
    return compared.get(path);
  }

  /** Calls `show` with the job after each change, until it ends or `signal` is aborted. */
  async function follow(id, show, signal) {
    const answer = await send(`jobs/${encodeURIComponent(id)}/events`, { signal });
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const events = (text + value).replaceAll("\r\n", "\n").split("\n\n");
      text = events.pop();
      for (const event of events) {
        const data = event.split("\n").filter((line) => line.startsWith("data:"));
        if (data.length) show(JSON.parse(data.map((line) => line.slice(5)).join("\n")));
      }
    }
  }

  return {
    ...{ get, post, rankings, why, follow, key, setKey, Problem },
    isLive: true,
    compare,
    cancel: (id) => post(`jobs/${encodeURIComponent(id)}/cancel`),
    /** Calls `listener` when the server asks for a key; returns a function that ends this. */
    onMissingKey(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
})();
