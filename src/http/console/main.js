// The page: sign-in and sign-out, routes, timers, rendering.
//
// Drives the other modules: `stream` and `api` deliver events and responses, `state` reduces them, the views render the
// state, `commands` sends commands. The key is only in sessionStorage and in the closure of the API.

import { ApiError, createApi, path } from "./api.js";
import { createCommands } from "./commands.js";
import { render } from "./dom.js";
import { callOfRow, initial, memberOfRow, reduce, roomOfRow } from "./state.js";
import { openStream, pause } from "./stream.js";
import { callsView } from "./views/calls.js";
import { closeAll } from "./views/dialogs.js";
import { nodesView } from "./views/nodes.js";
import { roomsView } from "./views/rooms.js";
import { shell } from "./views/shell.js";
import { signInView } from "./views/signin.js";
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

const theme = window.roomkeeperTheme;
const app = document.getElementById("app");
const announcementRegion = document.getElementById("said");

let session = null;
let signIn = { error: null, busy: false, appId: "" };

// ---- drawing --------------------------------------------------------------------------------------------------------

let drawn = false;

/** Schedules one rendering in the next frame. */
function draw() {
  if (drawn) return;
  drawn = true;
  requestAnimationFrame(() => {
    drawn = false;
    paint();
  });
}

function paint() {
  const here = route();
  if (!session) {
    document.title = "Sign in · Roomkeeper";
    render(app, signInView({ ...signIn, signIn: tryKey }));
    return;
  }
  const { state, act, appId } = session;
  const props = { state, route: here, now: Date.now(), act, appId, theme: theme.get() };
  const room = here.place === "rooms" && here.id ? state.rooms.get(here.id)?.name : null;
  document.title = `${room ?? here.place[0].toUpperCase() + here.place.slice(1)} · Roomkeeper`;
  render(app, shell(props, VIEWS[here.place](props)));
  if (announcementRegion.dataset.n !== String(state.announcement.n)) {
    announcementRegion.dataset.n = String(state.announcement.n);
    announcementRegion.textContent = state.announcement.text;
  }
}

function route() {
  const [, place, id] = location.hash.split("/");
  const known = Object.hasOwn(VIEWS, place ?? "") ? place : "rooms";
  let chosen = null;
  try {
    chosen = id ? decodeURIComponent(id) : null;
  } catch {
    // The fragment is not a valid link.
  }
  return { place: known, id: chosen, filter: session?.filter ?? "" };
}

/** Focuses the heading of a new view, so that Tab and a screen reader start there. */
function focusView() {
  const heading = document.querySelector(route().id ? "main h2" : "main h1");
  (heading ?? document.getElementById("main"))?.focus({ preventScroll: false });
}

// ---- signing in and out ---------------------------------------------------------------------------------------------

async function tryKey(appId, key) {
  if (signIn.busy) return;
  const fail = (error) => {
    signIn = { ...signIn, busy: false, error };
    paint();
    document.getElementById(appId ? "api-key" : "app-id").focus();
  };
  if (!appId || !key) return fail("The app and its key are required.");
  // App and key must be valid header values.
  if (!/^[\x21-\x7e]+$/.test(appId + key)) return fail("The app or the key has invalid characters.");
  signIn = { error: null, busy: true, appId };
  draw();
  const api = createApi({ appId, key });
  try {
    await api.get("/conferences?limit=1");
  } catch (error) {
    const wrong = error instanceof ApiError && error.status === 401;
    return fail(wrong ? "The app does not exist or the key is wrong." : error.text ?? error.message);
  }
  sessionStorage.setItem(SESSION, JSON.stringify({ appId, key }));
  signIn = { error: null, busy: false, appId };
  begin(api, appId);
  paint();
  focusView();
}

function signOut(error = null) {
  sessionStorage.removeItem(SESSION);
  session?.end();
  session = null;
  signIn = { error, busy: false, appId: error ? signIn.appId : "" };
  closeAll();
  app.replaceChildren();
  paint();
  document.getElementById("app-id").focus();
}

/** Restores the session of a reloaded tab. */
function resume() {
  let kept = null;
  try {
    kept = JSON.parse(sessionStorage.getItem(SESSION));
  } catch {
    // The stored value is not valid.
  }
  if (typeof kept?.appId === "string" && typeof kept?.key === "string") {
    begin(createApi(kept), kept.appId);
  }
}

// ---- a session ------------------------------------------------------------------------------------------------------

function begin(api, appId) {
  const over = new AbortController();
  const here = { state: initial(Date.now()), appId, filter: "", act: null, end };
  const timers = [];
  let stream = null;
  session = here;

  function dispatch(action) {
    if (over.signal.aborted) return;
    const before = here.state;
    here.state = reduce(before, action);
    if (here.state === before) return;
    if (here.state.epoch !== before.epoch) readAll();
    if (here.state.doubtful !== before.doubtful) settleDoubts();
    draw();
  }

  function end() {
    over.abort();
    timers.forEach(clearInterval);
    stream?.close();
  }

  /** Handles the error of a read: a key that is no longer valid ends the session. */
  function failed(error) {
    if (over.signal.aborted) return null;
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 401) signOut("The key is no longer valid.");
    return error;
  }

  // -- rooms, calls, members

  let readNumber = 0;
  let reading = false;
  let again = false;

  /** Reads everything, with retries, and once more if a read was requested meanwhile. */
  async function readAll() {
    again = true;
    if (reading) return;
    reading = true;
    for (let attempt = 0; again && !over.signal.aborted; ) {
      again = false;
      const id = (readNumber += 1);
      dispatch({ type: "read.begin", id });
      try {
        const [rooms, calls] = await Promise.all([api.all("/conferences", "conferences", 200), api.all("/sessions", "sessions", 200)]);
        dispatch({ type: "read.done", id, rooms: rooms.rows.map(roomOfRow), calls: calls.rows.map(callOfRow), cut: rooms.cut || calls.cut });
        attempt = 0;
        const { place, id: room } = route();
        if (place === "rooms" && room) await readRoom(room);
      } catch (error) {
        dispatch({ type: "read.failed", id });
        if (failed(error) === null || error.status === 401) break;
        again = true;
        const wait = Math.max(pause(attempt), error.retryAfterMs ?? 0);
        attempt += 1;
        await new Promise((done) => setTimeout(done, wait));
      }
    }
    reading = false;
  }

  /** Reads a room, and its members if the room is open on the page. */
  async function readRoom(room, looked = true) {
    const id = (readNumber += 1);
    dispatch({ type: "read.begin", id });
    try {
      const [detail, members] = await Promise.all([
        api.get(path`/conferences/${room}`),
        looked ? api.all(path`/conferences/${room}/members`, "members", 1000) : null,
      ]);
      dispatch({ type: "read.done", id, room, detail: roomOfRow(detail), members: members?.rows.map(memberOfRow) });
    } catch (error) {
      // A room that no longer exists is shown as ended.
      if (error.status === 404) dispatch({ type: "read.done", id, room, detail: null });
      else dispatch({ type: "read.failed", id, room: looked ? room : null });
      failed(error);
      return error.status === 404 ? null : error;
    }
    return null;
  }

  let settling = false;

  /** Reads the rooms whose events were incomplete, one after the other. */
  async function settleDoubts() {
    if (settling) return;
    settling = true;
    while (here.state.doubtful.size > 0 && !over.signal.aborted) {
      const [id] = here.state.doubtful;
      const error = await readRoom(id, false);
      if (error) await new Promise((done) => setTimeout(done, Math.max(1000, error.retryAfterMs ?? 0)));
    }
    settling = false;
  }

  // -- nodes and webhooks, which have no events

  async function readNodes() {
    try {
      const { nodes } = await api.get("/nodes");
      dispatch({ type: "nodes", rows: nodes, at: Date.now() });
    } catch (error) {
      if (failed(error)) dispatch({ type: "nodes", at: here.state.nodes.at, error: error.text });
    }
  }

  async function readHooks() {
    try {
      const { webhooks } = await api.get("/webhooks");
      const rows = await Promise.all(webhooks.map(({ id }) => api.get(path`/webhooks/${id}`)));
      dispatch({ type: "hooks", rows });
    } catch (error) {
      // An endpoint that was removed between the two requests is missing from the next list.
      if (error.status !== 404 && failed(error)) dispatch({ type: "hooks", error: error.text });
    }
  }

  async function readDeliveries(of, status, cursor = "") {
    const query = `?limit=50${status && `&status=${status}`}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`;
    try {
      const page = await api.get(path`/webhooks/${of}/deliveries` + query);
      const shown = here.state.deliveries;
      if (shown.of !== of || shown.status !== status) return;
      const rows = cursor ? [...shown.rows, ...page.deliveries] : page.deliveries;
      dispatch({ type: "deliveries", change: { rows, cursor: page.cursor } });
    } catch (error) {
      if (failed(error)) dispatch({ type: "deliveries", change: { error: error.text } });
    }
  }

  function chooseDeliveries(of, status) {
    dispatch({ type: "deliveries", change: { of, status, rows: null, cursor: "" } });
    return readDeliveries(of, status);
  }

  function refreshHooks() {
    const { id } = route();
    const { of, status, rows } = here.state.deliveries;
    readHooks();
    if (!id) return;
    if (of !== id) chooseDeliveries(id, "");
    // A user who has loaded earlier pages stays there.
    else if (rows === null || rows.length <= 50) readDeliveries(of, status);
  }

  // -- routes

  function entered() {
    const { place, id } = route();
    if (place === "rooms" && id && here.state.loaded) readRoom(id);
    for (const room of here.state.members.keys()) {
      if (room !== id) dispatch({ type: "forget.members", room });
    }
    if (place === "nodes") readNodes();
    if (place === "webhooks") refreshHooks();
  }

  here.entered = entered;
  const commands = createCommands({
    api,
    dispatch,
    getState: () => here.state,
    readNodes,
    refused: () => signOut("The key is no longer valid."),
    go: (hash) => {
      location.hash = hash;
    },
  });
  here.act = {
    ...commands,
    async sendAgain(hook, delivery) {
      await commands.sendAgain(hook, delivery);
      refreshHooks();
    },
    filter(text) {
      here.filter = text;
      draw();
    },
    nextTheme() {
      theme.next();
      draw();
    },
    signOut: () => signOut(),
    closeNotice: (id) => dispatch({ type: "notice.close", id }),
    retryNow: () => stream.now(),
    readRoom,
    readNodes,
    readHooks: refreshHooks,
    chooseDeliveries,
    moreDeliveries: (of) => readDeliveries(of, here.state.deliveries.status, here.state.deliveries.cursor),
  };

  stream = openStream({
    api,
    at: "/events",
    quietMs: QUIET_MS,
    onEvent: ({ event, data }) => dispatch({ type: "event", event, body: data, at: Date.now() }),
    onLink({ status, retryAt, error }) {
      if (status === "refused") return signOut("The key is no longer valid.");
      dispatch({ type: "link", status, retryAt, error, at: Date.now() });
      // Show the state even without events.
      if (status === "lost" && !here.state.loaded) readAll();
    },
  });

  const visible = () => document.visibilityState === "visible";
  timers.push(
    setInterval(() => {
      dispatch({ type: "tick", at: Date.now() });
      // Update relative times.
      if (visible()) draw();
    }, 1000),
    setInterval(() => visible() && readNodes(), NODES_MS),
    setInterval(() => visible() && route().place === "webhooks" && refreshHooks(), HOOKS_MS),
    setInterval(() => visible() && here.state.link.status === "open" && readAll(), AGAIN_MS),
  );
  for (const event of ["online", "visibilitychange"]) {
    const target = event === "online" ? window : document;
    target.addEventListener(event, () => visible() && stream.now(), { signal: over.signal });
  }
  readNodes();
  entered();
}

// ---- the page -------------------------------------------------------------------------------------------------------

window.addEventListener("hashchange", () => {
  session?.entered();
  paint();
  if (session) focusView();
});
resume();
paint();
if (!session) document.getElementById("app-id").focus();
