// The state of the operator's page and its reducer. Pure, like that of an app's page (`../state.js`).
//
// There is no event stream of all apps, so the page reads what it shows again and again, except the result of a search. A
// response whose filters are no longer those of the page is ignored.

import { announce, closeNotice, initialNotices, notice } from "../notices.js";
import { lapse, requested, settle } from "../pending.js";

/** The lists with pages, and their filters. */
const FILTERS = {
  rooms: { app_id: "", node: "" },
  calls: { app_id: "", node: "", state: "", number: "" },
  audit: { app_id: "", action: "", actor: "", since: "", until: "" },
};

/** The maximum number of pages that a list reads again. */
export const MAX_PAGES = 10;

/** `at`: the time of the read. */
const blank = () => ({ rows: null, cursor: "", pages: 1, truncated: false, at: null, error: null });

export function initial(now) {
  return {
    link: { status: "connecting", since: now, retryAt: null, lost: false, error: null },
    filters: FILTERS,
    lists: Object.fromEntries(Object.keys(FILTERS).map((name) => [name, blank()])),
    /** The opened room: `gone` when it does not exist. */
    room: { id: null, row: null, gone: false, error: null },
    nodes: { rows: null, at: null, error: null },
    orphans: { nodes: null, records: [], error: null },
    apps: { rows: null, error: null },
    pending: new Map(),
    ...initialNotices(),
  };
}

/** The shortest number that the API searches. */
const MIN_NUMBER = 3;

/** True for filters that search calls by number. */
export const isSearch = ({ number = "" }) => number.trim().length >= MIN_NUMBER;

/** The request of a list: its path and query, without the cursor. */
export function queryOf(state, name) {
  const { number = "", ...filters } = state.filters[name];
  // A search has no pages, and does not filter by state.
  if (isSearch({ number })) return `/search?number=${encodeURIComponent(number.trim())}${parameters({ app_id: filters.app_id, node: filters.node })}`;
  return `/${name}?limit=100${parameters(filters)}`;
}

function parameters(filters) {
  const given = Object.entries(filters).filter(([, value]) => value.trim() !== "");
  return given.map(([key, value]) => `&${key}=${encodeURIComponent(timeOrText(key, value.trim()))}`).join("");
}

/** A local time of a form field as RFC 3339. */
function timeOrText(key, value) {
  if (key !== "since" && key !== "until") return value;
  const time = new Date(value);
  return Number.isNaN(time.getTime()) ? value : time.toISOString();
}

export function reduce(state, action) {
  switch (action.type) {
    case "link":
      return link(state, action);
    case "list":
      return listRead(state, action);
    case "list.failed":
      return action.query === queryOf(state, action.name) ? withList(state, action.name, { error: action.error }) : state;
    case "list.more":
      return withList(state, action.name, { pages: Math.min(MAX_PAGES, state.lists[action.name].pages + 1) });
    case "filter": {
      const filters = { ...state.filters, [action.name]: { ...state.filters[action.name], ...action.change } };
      return { ...state, filters, lists: { ...state.lists, [action.name]: blank() } };
    }
    case "call.ended":
      return callEnded(state, action.id);
    case "room":
      return confirm({ ...state, room: { id: action.id, row: action.row ?? null, gone: action.gone === true, error: action.error ?? null } }, "room", state);
    case "nodes":
    case "orphans":
    case "apps":
      return confirm({ ...state, [action.type]: { ...state[action.type], error: null, ...action.change } }, action.type, state);
    case "requested":
      return requested(state, action);
    case "settled":
      return settle(state, [action.key]);
    case "tick":
      return tick(state, action.at);
    case "notice":
      return notice(state, action.kind, action.text);
    case "notice.close":
      return closeNotice(state, action.id);
    case "announce":
      return announce(state, action.text);
    default:
      throw new Error(`no such action: ${action.type}`);
  }
}

function link(state, { status, at, retryAt = null, error = null }) {
  const before = state.link;
  const lost = status === "lost";
  const since = lost && before.lost ? before.since : at;
  const next = { ...state, link: { status, since, retryAt, lost, error } };
  if (lost && before.status === "open") return announce(next, "Connection lost");
  return status === "open" && before.lost ? announce(next, "Reconnected") : next;
}

function listRead(state, { name, query, rows, cursor = "", truncated = false, at = null }) {
  if (query !== queryOf(state, name)) return state;
  return confirm(withList(state, name, { rows, cursor, truncated, at, error: null }), name, state);
}

function callEnded(state, id) {
  const rows = state.lists.calls.rows?.filter((call) => call.uuid !== id) ?? null;
  return settle(withList(state, "calls", { rows }), [`hangup:${id}`]);
}

function withList(state, name, change) {
  return { ...state, lists: { ...state.lists, [name]: { ...state.lists[name], ...change } } };
}

// ---- pending commands -----------------------------------------------------------------------------------------------

/** Confirms the commands whose effect a read shows. `read`: what was read. */
function confirm(state, read, before) {
  const done = [...state.pending].filter(([key, { want }]) => {
    const at = key.indexOf(":");
    return isDone(state, before, read, key.slice(0, at), key.slice(at + 1), want);
  });
  return settle(state, done.map(([key]) => key));
}

function isDone(state, before, read, what, id, want) {
  switch (`${what} ${read}`) {
    case "hangup calls":
      return !isListed(state.lists.calls.rows, "uuid", id);
    case "hangup room":
      return isListed(before.room.row?.members, "uuid", id) && !isListed(state.room.row?.members, "uuid", id);
    case "delete rooms":
      return !isListed(state.lists.rooms.rows, "room_id", id);
    case "delete room":
      return state.room.id === id && state.room.gone;
    case "drain nodes":
      return nodeOf(state, id)?.draining === want;
    case "resync nodes": {
      // `want` is the time of the previous resync.
      const node = nodeOf(state, id);
      return node !== undefined && node.resynced_at !== want;
    }
    case "disable apps":
      return state.apps.rows?.find((one) => one.app_id === id)?.disabled === want;
    default:
      return false;
  }
}

const nodeOf = (state, id) => state.nodes.rows?.find((one) => one.id === id);

const isListed = (rows, field, id) => (rows ?? []).some((row) => row[field] === id);

function tick(state, at) {
  const { state: next, lapsed } = lapse(state, at);
  return lapsed === null ? state : notice(next, "error", `Not confirmed in time: ${lapsed}.`);
}

// ---- selectors ------------------------------------------------------------------------------------------------------

/** True while a list shows the result of a search. The API searches all calls of the fleet, so a poll does not repeat it. */
export const isFound = (state, name) => isSearch(state.filters[name]) && state.lists[name].rows !== null;

/** The ids of the listed calls whose hang-up is pending. */
export function endingCalls(state) {
  const ids = (state.lists.calls.rows ?? []).map((call) => call.uuid);
  return ids.filter((id) => state.pending.has(`hangup:${id}`));
}

/** The calls to show. */
export function shownCalls(state) {
  const { rows } = state.lists.calls;
  const filters = state.filters.calls;
  return rows && isSearch(filters) ? rows.filter((call) => !filters.state || call.state === filters.state) : rows;
}

/** The conferences, calls and records of all nodes that belong to no app. */
export function orphanCount({ nodes, records }) {
  if (!nodes) return 0;
  return nodes.reduce((sum, node) => sum + node.conferences_total + node.calls_total + node.records_total, records?.length ?? 0);
}
