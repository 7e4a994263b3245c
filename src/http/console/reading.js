// Reads rooms, calls and members: everything after a gap, one room when its events were incomplete.

import { path } from "./api.js";
import { callOfRow, dialOfRow, memberOfRow, roomOfRow } from "./state.js";
import { pause } from "./stream.js";

/** The maximum number of pages of memberships that are read of a room. */
const MAX_PAGES = 10;

/** The part of a room's id after this is its id in the VoIPBIN API. */
const SEPARATOR = "-room-";

/**
 * `openRoom()`: the room on the page. `memberships`: the VoIPBIN API. `failed(error)`: handles an error, null if the session
 * is over.
 */
export function createReader({ api, memberships, dispatch, getState, failed, openRoom, signal }) {
  let readNumber = 0;
  let reading = false;
  let again = false;

  /** Reads everything, with retries, and once more if a read was requested meanwhile. */
  async function readAll() {
    again = true;
    if (reading) return;
    reading = true;
    for (let attempt = 0; again && !signal.aborted; ) {
      again = false;
      const id = (readNumber += 1);
      dispatch({ type: "read.begin", id });
      try {
        const [rooms, calls] = await Promise.all([api.all("/conferences", "conferences", 200), api.all("/sessions", "sessions", 200)]);
        dispatch({ type: "read.done", id, rooms: rooms.rows.map(roomOfRow), calls: calls.rows.map(callOfRow), cut: rooms.cut || calls.cut });
        attempt = 0;
        const room = openRoom();
        if (room) await readRoom(room);
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
      const [detail, dials, members] = await Promise.all([
        api.get(path`/conferences/${room}`),
        openRoom() === room ? api.get(path`/conferences/${room}/calls`) : null,
        looked ? api.all(path`/conferences/${room}/members`, "members", 1000) : null,
      ]);
      const found = { ...roomOfRow(detail), dials: dials?.calls.map(dialOfRow) ?? null };
      dispatch({ type: "read.done", id, room, detail: found, members: members?.rows.map(memberOfRow) });
      if (looked) await readJoinTimes(room);
    } catch (error) {
      // A room that no longer exists is shown as ended.
      if (error.status === 404) dispatch({ type: "read.done", id, room, detail: null });
      else dispatch({ type: "read.failed", id, room: looked ? room : null });
      failed(error);
      return error.status === 404 ? null : error;
    }
    return null;
  }

  /** Reads when the members joined, if neither the list nor an event has reported it. Only memberships have the time. */
  async function readJoinTimes(room) {
    const { members, calls } = getState();
    const isUnknown = ({ uuid, joinedAt }) => joinedAt === null && (calls.get(uuid)?.joinedAt ?? null) === null;
    if (![...(members.get(room)?.values() ?? [])].some(isUnknown)) return;
    const conference = room.slice(room.indexOf(SEPARATOR) + SEPARATOR.length);
    try {
      let token = "";
      for (let n = 0; n < MAX_PAGES && (n === 0 || token); n += 1) {
        const page = await memberships.get(path`/conferencecalls?conference_id=${conference}&page_size=100` + (token && path`&page_token=${token}`));
        dispatch({ type: "memberships", room, rows: page.result });
        token = page.next_page_token;
      }
    } catch (error) {
      // The page shows no time then.
      failed(error);
    }
  }

  let settling = false;

  /** Reads the rooms whose events were incomplete, one after the other. */
  async function settleDoubts() {
    if (settling) return;
    settling = true;
    while (getState().doubtful.size > 0 && !signal.aborted) {
      const [id] = getState().doubtful;
      const error = await readRoom(id, false);
      if (error) await new Promise((done) => setTimeout(done, Math.max(1000, error.retryAfterMs ?? 0)));
    }
    settling = false;
  }

  return { readAll, readRoom, settleDoubts };
}
