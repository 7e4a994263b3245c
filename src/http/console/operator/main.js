// The operator's page, on the admin listener: all apps, rooms, calls and nodes, and the audit log.
//
// It reads what it shows again every few seconds, while the tab is visible. The key is only in sessionStorage and in the
// closure of the API.

import { ApiError, adminApi, path } from "../api.js";
import { createPage, routeOf } from "../page.js";
import { createActions } from "./actions.js";
import { appsView } from "./apps.js";
import { auditView } from "./audit.js";
import { callsView } from "./calls.js";
import { createFilters } from "./filters.js";
import { nodesView } from "./nodes.js";
import { createPoller } from "./poller.js";
import { roomsView } from "./rooms.js";
import { initial, orphanCount, queryOf, reduce } from "./state.js";

const VIEWS = { rooms: roomsView, calls: callsView, nodes: nodesView, apps: appsView, audit: auditView };

/** The field of the response of each list. */
const FIELDS = { rooms: "rooms", calls: "calls", audit: "entries" };

/** The interval of reading the apps, which change rarely. */
const APPS_MS = 30_000;

const route = () => routeOf(VIEWS);
const visible = () => document.visibilityState === "visible";

const page = createPage({
  storage: "roomkeeper-operator",
  begin,
  route,
  live: "Online",
  signIn: {
    text: "Use the admin key.",
    hasApp: false,
    wrong: "The admin key is wrong.",
    async check(_, key) {
      await adminApi({ key }).get("/nodes");
      return { key };
    },
  },
  titleOf: ({ state }, { place, id }) => (place === "rooms" && id && state.room.id === id ? state.room.row?.name : null),
  places: ({ state }) => placesOf(state),
  view: (props) => VIEWS[props.route.place](props),
});

function placesOf(state) {
  const down = (state.nodes.rows ?? []).filter((node) => node.link !== "up").length;
  const orphans = orphanCount(state.orphans);
  const bad = down > 0 ? { n: down, words: "not up", kind: "bad" } : null;
  return [
    ["rooms", "Rooms", null],
    ["calls", "Calls", null],
    ["nodes", "Nodes", bad ?? (orphans > 0 ? { n: orphans, words: "orphans", kind: "warn" } : null)],
    ["apps", "Apps", null],
    ["audit", "Audit", null],
  ];
}

function begin({ key }, setSession) {
  if (typeof key !== "string") return;
  const api = adminApi({ key });
  const over = new AbortController();
  const here = { state: initial(Date.now()), who: { name: "Operator", title: "Signed in with the admin key" }, list: null, act: null, end, entered: read };
  setSession(here);

  function dispatch(action) {
    if (over.signal.aborted) return;
    here.state = reduce(here.state, action);
    page.draw();
  }

  const reader = createReader({ api, dispatch, getState: () => here.state });
  const poller = createPoller({ readOnce: () => reader.read(route()), dispatch, isVisible: visible, signal: over.signal, refused: () => page.signOut("The key is no longer valid.") });
  const filters = createFilters({ dispatch, read });
  const clock = setInterval(() => {
    dispatch({ type: "tick", at: Date.now() });
  }, 1000);
  document.addEventListener("visibilitychange", () => visible() && read(), { signal: over.signal });

  function read() {
    poller.now();
  }

  function end() {
    over.abort();
    clearInterval(clock);
    filters.end();
    poller.end();
  }

  here.act = {
    ...createActions({ api, dispatch, getState: () => here.state, read, refused: () => page.signOut("The key is no longer valid.") }),
    filter: filters.change,
    more(name) {
      dispatch({ type: "list.more", name });
      read();
    },
    retryNow: read,
    nextTheme: page.nextTheme,
    signOut: () => page.signOut(),
    announce: (text) => dispatch({ type: "announce", text }),
    closeNotice: (id) => dispatch({ type: "notice.close", id }),
  };
  read();
}

/** Reads what a place shows. A failure of one part is shown there; without a connection the whole read fails. */
function createReader({ api, dispatch, getState }) {
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
    dispatch({ type: "list", name, query, rows, cursor: page.cursor ?? "", truncated: page.truncated === true });
  }

  const list = (name) => {
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

page.run();
