// Commands without confirmation: key → {want, label, until, sendAt}. Pure.
//
// A command is pending from the press to the event that confirms it, to its failure, or to its deadline. `sendAt` is set
// while it waits for a cooldown: it is then sent by itself, unless it is cancelled or the state makes it needless.

import { commandOf } from "./commands.js";
import { announce, notice } from "./notices.js";

/** The time within which an event must confirm a command. After that the state is read again. */
export const CONFIRM_MS = 15_000;

export function requested(state, { key, want, label, at, until = at + CONFIRM_MS }) {
  const pending = new Map(state.pending);
  pending.set(key, { want, label, until, sendAt: null });
  return { ...state, pending };
}

/** A command waits for its cooldown. */
export function cooledDown(state, { key, sendAt, at }) {
  const before = state.pending.get(key);
  if (!before) return state;
  const pending = new Map(state.pending).set(key, { ...before, sendAt, until: sendAt + CONFIRM_MS });
  const seconds = Math.max(1, Math.ceil((sendAt - at) / 1000));
  return announce({ ...state, pending }, `${before.label}: sent in ${seconds} s`);
}

/** True while a command waits for a cooldown. */
export const isCoolingDown = (state) => [...state.pending.values()].some((one) => one.sendAt !== null);

export function settle(state, keys) {
  const found = keys.filter((key) => state.pending.has(key));
  if (found.length === 0) return state;
  const pending = new Map(state.pending);
  for (const key of found) pending.delete(key);
  return { ...state, pending };
}

export function settleIf(state, key, now) {
  return state.pending.get(key)?.want === now ? settle(state, [key]) : state;
}

/** The keys of the pending commands about an id. */
export function keysOf(pending, id) {
  return [...pending.keys()].filter((key) => key.endsWith(`:${id}`));
}

/** Confirms commands whose effect is visible in the state, in case an event was missed. */
export function confirmByState(state) {
  const done = [...state.pending].filter(([key, { want }]) => {
    const [what, id] = [key.slice(0, key.indexOf(":")), key.slice(key.indexOf(":") + 1)];
    const call = state.calls.get(id);
    const room = state.rooms.get(id);
    const command = commandOf(what);
    if (command?.field) {
      const member = call?.roomId ? state.members.get(call.roomId)?.get(id) : undefined;
      return !call?.roomId || member?.[command.field] === want;
    }
    if (command) return command.done?.(call) === true;
    switch (what) {
      case "join":
        return call?.state === "in_room";
      case "lock":
        return !room || room.locked === want;
      case "record":
        return !room || (room.recording === "recording" || room.recording === "paused") === want;
      case "record-pause":
        return !room?.recording || (room.recording === "paused") === want;
      case "stop":
        return !room?.playing;
      case "pause":
        return !room?.playing || (room.playing.status === "paused") === want;
      case "volume":
        return !room || room.volume === want;
      case "delete":
        return !room;
      default:
        return false;
    }
  });
  return settle(state, done.map(([key]) => key));
}

/** Ends commands whose deadline has passed. `lapsed`: their labels, or null. */
export function lapse(state, at) {
  const late = [...state.pending].filter(([, one]) => one.until <= at);
  if (late.length === 0) return { state, lapsed: null };
  const lapsed = late.map(([, one]) => one.label).join(", ");
  return { state: settle(state, late.map(([key]) => key)), lapsed };
}

/** The same with a notice; everything is read again, because the outcome is unknown. */
export function tick(state, at) {
  const { state: next, lapsed } = lapse(state, at);
  if (lapsed === null) return state;
  return { ...notice(next, "error", `FreeSWITCH has not confirmed: ${lapsed}. The state is being read again.`), epoch: next.epoch + 1 };
}
