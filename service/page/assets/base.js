// The namespace of the page: rendering, numbers, links and loading, which every view uses.
"use strict";
window.proofrank = (() => {
  const html = htm.bind(preact.h);
  const { useEffect, useMemo, useRef, useState } = preactHooks;

  // ---- Numbers and times

  const fixed = (digits) => (value) => (value === null || value === undefined ? "–" : value.toFixed(digits));
  const metric = fixed(4);
  const whole = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en"));
  const signed = (value) => (value > 0 ? "+" : "") + metric(value);
  const percent = (value) => (value === null || value === undefined ? "–" : `${(100 * value).toFixed(1)} %`);
  // Mean ranks may end in .5; whole ones stand without a point.
  const rank = (value) => (Number.isInteger(value) ? value.toLocaleString("en") : value.toFixed(1));
  const time = (text) => (text === null ? "–" : new Date(text).toLocaleString("sv").slice(0, 16));
  const interval = (low, high) => (low === null || high === null ? "–" : `${metric(low)} to ${metric(high)}`);
  /** The interval [low, high] of a metric of a job with mrr_tolerance: one number where it is known. */
  const ends = (found, show) => (found === null ? "–" : found[0] === found[1] ? show(found[0]) : `${show(found[0])} to ${show(found[1])}`);
  /** The MRR of a job; of one with mrr_tolerance the middle of its interval. */
  const mrrOf = (job) => job.metrics?.mrr ?? (job.intervals ? (job.intervals.intervals.mrr[0] + job.intervals.intervals.mrr[1]) / 2 : null);
  /** The same as a text, marked with how far it may be off. */
  const mrrText = (job) => {
    const [low, high] = job.intervals?.intervals.mrr ?? [0, 0];
    return low === high ? metric(mrrOf(job)) : `${metric(mrrOf(job))} ± ${metric(Math.ceil(((high - low) / 2) * 1e4 + 0.5) / 1e4)}`;
  };
  const triple = (of) => `${of.relation}(${of.head}, ${of.tail})`;

  // ---- Addresses: everything after "#" is a path of encoded parts and a query string

  function link(parts, query = {}) {
    const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
    const asked = new URLSearchParams(given).toString();
    return `#/${parts.map(encodeURIComponent).join("/")}${asked && `?${asked}`}`;
  }

  function readLink(hash) {
    const [path, asked = ""] = hash.replace(/^#\/?/, "").split("?", 2);
    let parts;
    try {
      parts = path.split("/").filter(Boolean).map(decodeURIComponent);
    } catch {
      parts = ["?"];
    }
    return { parts, query: Object.fromEntries(new URLSearchParams(asked)) };
  }

  // ---- What an evaluation ranks, in words: only evaluations with the same words can be compared

  const beam = (request) => request.beam ?? 1;

  const scoring = (request) => request.scoring ?? "proof";

  function protocol(request) {
    const parts = [
      request.split ?? "own queries",
      request.limit === null ? null : `${request.limit} triples`,
      request.side === "both" ? "both sides" : `${request.side} side`,
      request.corruptions === "all" ? "all corruptions" : `${request.corruptions} corruptions`,
      scoring(request) === "proof" ? null : `scores: ${scoring(request)}`,
      beam(request) === 1 ? null : `beam of ${beam(request)} (${request.beam_score ?? "max"})`,
      request.filtered ? null : "unfiltered",
      request.ties === "realistic" ? null : `${request.ties} ties`,
      request.seed === 0 ? null : `seed ${request.seed}`,
      (request.mrr_tolerance ?? null) === null ? null : `MRR to ± ${request.mrr_tolerance}`,
    ];
    return parts.filter((part) => part !== null).join(", ");
  }

  const jobName = (job) => (job.run === null ? job.policy.name : `${job.run} step ${job.step}`);

  // ---- Loading

  /** The state of what `load` promises: {value}, {error} or nothing yet; loaded anew when `keys` change. */
  function useLoaded(load, keys) {
    const [state, setState] = useState({});
    useEffect(() => {
      let isCurrent = true;
      load().then(
        (value) => isCurrent && setState({ value }),
        (error) => isCurrent && setState({ error }),
      );
      return () => {
        isCurrent = false;
      };
    }, keys);
    return state;
  }

  function Failure({ error }) {
    return html`<p class="error" role="alert">${error.message}</p>`;
  }

  /** Shows what was loaded by `show`; until then that it is loading, or what went wrong. */
  function whenLoaded(state, show) {
    if (state.error !== undefined) return html`<${Failure} error=${state.error} />`;
    if (state.value === undefined) return html`<p class="soft" role="status">Loading …</p>`;
    return show(state.value);
  }

  /** A value that follows another once that has stayed the same for some milliseconds. */
  function useSettled(value, milliseconds) {
    const [settled, setSettled] = useState(value);
    useEffect(() => {
      const timer = setTimeout(() => setSettled(value), milliseconds);
      return () => clearTimeout(timer);
    }, [value]);
    return settled;
  }

  /** Calls `action` now and again after each `milliseconds`, while the page is seen. */
  function useRepeated(action, milliseconds, keys = []) {
    useEffect(() => {
      let timer;
      let isOver = false;
      const turn = async () => {
        if (!document.hidden) await action();
        if (!isOver) timer = setTimeout(turn, milliseconds);
      };
      turn();
      return () => {
        isOver = true;
        clearTimeout(timer);
      };
    }, keys);
  }

  return {
    ...{ html, useEffect, useMemo, useRef, useState, useLoaded, useRepeated, useSettled, whenLoaded, Failure },
    ...{ metric, whole, signed, percent, rank, time, interval, ends, mrrOf, mrrText, triple, fixed },
    ...{ link, readLink, protocol, beam, scoring, jobName },
    views: {},
  };
})();
