// Values that the views derive from the state. Pure.

/** The number of members of each room. */
export function counts(state) {
  const found = new Map();
  for (const { roomId, state: place } of state.calls.values()) {
    if (roomId && (place === "in_room" || place === "leaving")) found.set(roomId, (found.get(roomId) ?? 0) + 1);
  }
  return found;
}

/** The number of talking members of each room. */
export function talkers(state) {
  const found = new Map();
  for (const session of state.talking) {
    const room = state.calls.get(session)?.roomId;
    if (room) found.set(room, (found.get(room) ?? 0) + 1);
  }
  return found;
}

/** The calls that wait for a room, longest wait first. */
export function waiting(state) {
  const calls = [...state.calls.values()].filter((call) => call.state === "parked" || call.state === "ringing");
  return calls.sort((a, b) => a.createdAt - b.createdAt || (a.uuid < b.uuid ? -1 : 1));
}

/** The time of a room's last event that the page has received, or of its creation. */
export const lastActive = (state, room) => state.lastEvents.get(room.id) ?? room.createdAt;

const byName = (a, b) => a.name.localeCompare(b.name) || (a.id < b.id ? -1 : 1);

/** The rooms, the most active first: somebody talks, then the latest event, then more members, then the name. */
export function roomsByActivity(state) {
  const [many, talking] = [counts(state), talkers(state)];
  const talks = (room) => ((talking.get(room.id) ?? 0) > 0 ? 1 : 0);
  const size = (room) => many.get(room.id) ?? 0;
  return [...state.rooms.values()].sort(
    (a, b) => talks(b) - talks(a) || (lastActive(state, b) || 0) - (lastActive(state, a) || 0) || size(b) - size(a) || byName(a, b),
  );
}

export const roomsByName = (state) => [...state.rooms.values()].sort(byName);

/** Keeps the order of these ids, so that nothing moves under the pointer; others follow. */
export function inOrder(rows, ids) {
  if (!ids) return rows;
  const at = new Map(ids.map((id, i) => [id, i]));
  return [...rows].sort((a, b) => (at.get(a.id) ?? Infinity) - (at.get(b.id) ?? Infinity) || 0);
}
