// The operator's page, on the admin listener: all apps, rooms, calls and nodes, and the audit log.
//
// It reads what it shows again every few seconds, while the tab is visible, except the result of a search. The key is only
// in sessionStorage and in the closure of the API.

import { adminApi } from "../api.js";
import { createPage, routeOf } from "../page.js";
import { createActions } from "./actions.js";
import { appsView } from "./apps.js";
import { auditView } from "./audit.js";
import { callsView } from "./calls.js";
import { createFilters } from "./filters.js";
import { nodesView } from "./nodes.js";
import { createPoller } from "./poller.js";
import { createReader } from "./reader.js";
import { roomsView } from "./rooms.js";
import { initial, orphanCount, reduce } from "./state.js";

const VIEWS = { rooms: roomsView, calls: callsView, nodes: nodesView, apps: appsView, audit: auditView };

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

page.run();
