// The reads of the operator's page.

import { ApiError, path } from "../api.js";
import { endingCalls, isFound, queryOf } from "./state.js";

/** The field of the response of each list. */
const FIELDS = { rooms: "rooms", calls: "calls", audit: "entries" };

/** The interval of reading the apps, which change rarely. */
const APPS_MS = 30_000;

/** Reads what a place shows. A failure of one part is shown there; without a connection the whole read fails. */
export function createReader({ api, dispatch, getState }) {
  let appsAt = -Infinity;

  /** Runs a part of a read. Its own errors go to `failed`. */
  async function part(run, failed) {
    try {
      await run();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 0 || error.status === 401) throw error;
      failed(error);
    }
  }

  async function readList(name) {
    const query = queryOf(getState(), name);
    const rows = [];
    let page = { cursor: "" };
    for (let n = 0; n < getState().lists[name].pages && (n === 0 || page.cursor); n += 1) {
      page = await api.get(`${query}${page.cursor ? `&cursor=${encodeURIComponent(page.cursor)}` : ""}`);
      rows.push(...page[FIELDS[name]]);
    }
    dispatch({ type: "list", name, query, rows, cursor: page.cursor ?? "", truncated: page.truncated === true, at: Date.now() });
  }

  /** Reads the calls that a search found and whose end is pending, and removes those that have ended. */
  async function readEnding() {
    const reads = endingCalls(getState()).map((id) =>
      part(
        () => api.get(path`/calls/${id}`),
        // Another error leaves the command pending, so the next poll reads the call again.
        (error) => error.status === 404 && dispatch({ type: "call.ended", id }),
      ),
    );
    await Promise.all(reads);
  }

  const list = (name) => {
    if (isFound(getState(), name)) return readEnding();
    const query = queryOf(getState(), name);
    return part(() => readList(name), (error) => dispatch({ type: "list.failed", name, query, error: error.text }));
  };

  const room = (id) =>
    part(
      async () => dispatch({ type: "room", id, row: await api.get(path`/rooms/${id}`) }),
      (error) => dispatch({ type: "room", id, gone: error.status === 404, error: error.text }),
    );

  const nodes = () =>
    part(
      async () => dispatch({ type: "nodes", change: { rows: (await api.get("/nodes")).nodes, at: Date.now() } }),
      (error) => dispatch({ type: "nodes", change: { error: error.text } }),
    );

  const orphans = () =>
    part(
      async () => {
        const { nodes: found, records = [] } = await api.get("/orphans");
        dispatch({ type: "orphans", change: { nodes: found, records } });
      },
      (error) => dispatch({ type: "orphans", change: { error: error.text } }),
    );

  const apps = () =>
    part(
      async () => {
        dispatch({ type: "apps", change: { rows: (await api.get("/apps")).apps } });
        appsAt = Date.now();
      },
      (error) => dispatch({ type: "apps", change: { error: error.text } }),
    );

  return {
    read({ place, id }) {
      const reads = [nodes()];
      if (place === "rooms") reads.push(id ? room(id) : list("rooms"));
      if (place === "calls" || place === "audit") reads.push(list(place));
      if (place === "nodes") reads.push(orphans());
      if (place === "apps" || Date.now() - appsAt > APPS_MS) reads.push(apps());
      return Promise.all(reads);
    },
  };
}
