// The page of an app: sign-in and sign-out, routes, timers, rendering.
//
// Drives the other modules: `stream` and `api` deliver events and responses, `state` reduces them, the views render the
// state, `actions` sends commands. The key is only in sessionStorage and in the closure of the API.

import { createActions } from "./actions.js";
import { ApiError, appApi, pageIds, voipbinApi } from "./api.js";
import { createHooks } from "./hooks.js";
import { createPage, routeOf } from "./page.js";
import { isCoolingDown } from "./pending.js";
import { createReader } from "./reading.js";
import { waiting } from "./selectors.js";
import { initial, reduce } from "./state.js";
import { openStream } from "./stream.js";
import { callsView } from "./views/calls.js";
import { nodesView } from "./views/nodes.js";
import { roomsView } from "./views/rooms.js";
import { webhooksView } from "./views/webhooks.js";

const SESSION = "roomkeeper-session";
const VIEWS = { rooms: roomsView, calls: callsView, nodes: nodesView, webhooks: webhooksView };

/** The stream counts as dead after this silence. The server sends something at least every 15 s. */
const QUIET_MS = 40_000;
/** Intervals of reading nodes and webhooks, which have no events. */
const NODES_MS = 5_000;
const HOOKS_MS = 5_000;
/** The interval of reading everything again, despite the events. */
const AGAIN_MS = 60_000;
/** The interval of rendering while a button counts down. */
const COUNTDOWN_MS = 200;

const ids = pageIds();

const route = () => routeOf(VIEWS);

const page = createPage({
  storage: SESSION,
  begin,
  route,
  live: "Live",
  signIn: {
    text: "Use an app's key.",
    hasApp: true,
    wrong: "The app does not exist or the key is wrong.",
    async check(appId, key) {
      await appApi({ appId, key }).get("/conferences?limit=1");
      return { appId, key };
    },
  },
  titleOf: ({ state }, { place, id }) => (place === "rooms" && id ? state.rooms.get(id)?.name : null),
  places: ({ state }) => placesOf(state),
  view: (props) => VIEWS[props.route.place](props),
});

function placesOf(state) {
  const wait = waiting(state).length;
  const down = (state.nodes.rows ?? []).filter((node) => node.state !== "up").length;
  return [
    ["rooms", "Rooms", state.loaded ? { n: state.rooms.size, words: "rooms" } : null],
    ["calls", "Calls", wait > 0 ? { n: wait, words: "waiting", kind: "info" } : null],
    ["nodes", "Nodes", down > 0 ? { n: down, words: "not up", kind: "bad" } : null],
    ["webhooks", "Webhooks", null],
  ];
}

// ---- a session ------------------------------------------------------------------------------------------------------

function begin({ appId, key }, setSession) {
  if (typeof appId !== "string" || typeof key !== "string") return;
  const api = appApi({ appId, key });
  const over = new AbortController();
  const here = {
    state: initial(Date.now(), ids.id),
    who: { name: appId, title: "Signed-in app" },
    list: { filter: "", sort: "activity", order: null },
    act: null,
    end,
    entered,
  };
  const timers = [];
  let stream = null;
  setSession(here);

  function dispatch(action) {
    if (over.signal.aborted) return;
    const before = here.state;
    here.state = reduce(before, action);
    if (here.state === before) return;
    if (here.state.epoch !== before.epoch) reader.readAll();
    if (here.state.doubtful !== before.doubtful) reader.settleDoubts();
    page.draw();
  }

  function end() {
    over.abort();
    timers.forEach(clearInterval);
    stream?.close();
  }

  const keyEnded = () => page.signOut("The key is no longer valid.");

  /** Handles the error of a read: a key that is no longer valid ends the session. */
  function failed(error) {
    if (over.signal.aborted) return null;
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 401) keyEnded();
    return error;
  }

  const getState = () => here.state;
  const openRoom = () => (route().place === "rooms" ? route().id : null);
  const reader = createReader({ api, memberships: voipbinApi({ appId, key }), dispatch, getState, failed, openRoom, signal: over.signal });

  async function readNodes() {
    try {
      const { nodes } = await api.get("/nodes");
      dispatch({ type: "nodes", rows: nodes, at: Date.now() });
    } catch (error) {
      if (failed(error)) dispatch({ type: "nodes", at: here.state.nodes.at, error: error.text });
    }
  }

  function entered() {
    const { place, id } = route();
    if (place === "rooms" && id && here.state.loaded) reader.readRoom(id);
    for (const room of here.state.members.keys()) {
      if (room !== id) dispatch({ type: "forget.members", room });
    }
    if (place !== "rooms") here.list.order = null;
    if (place === "nodes") readNodes();
    if (place === "webhooks") hooks.readHooks();
  }

  const parts = { api, here, dispatch, getState, keyEnded, readNodes, readRoom: reader.readRoom, retryNow: () => stream.now() };
  const basics = basicActions(parts);
  const selected = () => (route().place === "webhooks" ? route().id : null);
  const hooks = createHooks({ api, act: basics, dispatch, getState, failed, selected });
  here.act = { ...basics, ...hooks };
  stream = startStream({ api, dispatch, getState, keyEnded, readAll: reader.readAll });
  timers.push(...startTimers({ dispatch, getState, readNodes, readHooks: hooks.readHooks, readAll: reader.readAll }));
  for (const event of ["online", "visibilitychange"]) {
    const target = event === "online" ? window : document;
    target.addEventListener(event, () => visible() && stream.now(), { signal: over.signal });
  }
  readNodes();
  entered();
}

const visible = () => document.visibilityState === "visible";

/** The actions of all views but the webhooks. */
function basicActions({ api, here, dispatch, getState, keyEnded, readNodes, readRoom, retryNow }) {
  const changeList = (change) => {
    Object.assign(here.list, change);
    page.draw();
  };
  const go = (hash) => {
    location.hash = hash;
  };
  return {
    ...createActions({ api, ids, dispatch, getState, readNodes, refused: keyEnded, go }),
    filter: (filter) => changeList({ filter }),
    sortRooms: (sort) => changeList({ sort, order: null }),
    holdOrder: (order) => changeList({ order }),
    nextTheme: page.nextTheme,
    signOut: () => page.signOut(),
    announce: (text) => dispatch({ type: "announce", text }),
    closeNotice: (id) => dispatch({ type: "notice.close", id }),
    retryNow,
    readRoom,
    readNodes,
  };
}

function startStream({ api, dispatch, getState, keyEnded, readAll }) {
  return openStream({
    api,
    at: "/events",
    quietMs: QUIET_MS,
    onEvent: ({ event, data }) => dispatch({ type: "event", event, body: data, at: Date.now() }),
    onLink({ status, retryAt, error }) {
      if (status === "refused") return keyEnded();
      dispatch({ type: "link", status, retryAt, error, at: Date.now() });
      // Show the state even without events.
      if (status === "lost" && !getState().loaded) readAll();
    },
  });
}

function startTimers({ dispatch, getState, readNodes, readHooks, readAll }) {
  return [
    setInterval(() => {
      dispatch({ type: "tick", at: Date.now() });
      // Update relative times.
      if (visible()) page.draw();
    }, 1000),
    setInterval(() => visible() && isCoolingDown(getState()) && page.draw(), COUNTDOWN_MS),
    setInterval(() => visible() && readNodes(), NODES_MS),
    setInterval(() => visible() && route().place === "webhooks" && readHooks(), HOOKS_MS),
    setInterval(() => visible() && getState().link.status === "open" && readAll(), AGAIN_MS),
  ];
}

page.run();
