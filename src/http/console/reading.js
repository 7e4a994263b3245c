// Reads rooms, calls and members: everything after a gap, one room when its events were incomplete.

import { path } from "./api.js";
import { callOfRow, memberOfRow, roomOfRow } from "./state.js";
import { pause } from "./stream.js";

/** `openRoom()`: the room on the page. `failed(error)`: handles an error, null if the session is over. */
export function createReader({ api, dispatch, getState, failed, openRoom, signal }) {
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
    while (getState().doubtful.size > 0 && !signal.aborted) {
      const [id] = getState().doubtful;
      const error = await readRoom(id, false);
      if (error) await new Promise((done) => setTimeout(done, Math.max(1000, error.retryAfterMs ?? 0)));
    }
    settling = false;
  }

  return { readAll, readRoom, settleDoubts };
}
