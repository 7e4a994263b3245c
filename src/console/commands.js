// What the person asks for: one function a button. Each asks the API, marks what is not confirmed yet, and shows the
// API's own words where it says no.
//
// A 202 is not the end: mute, lock and the rest are shown as done when FreeSWITCH's event has come.

import { ApiError, commandUid, path } from "./api.js";
import { counts } from "./state.js";
import { ask } from "./views/dialogs.js";

const NAME = "[A-Za-z0-9][A-Za-z0-9_\\-]{0,63}";

export function createCommands({ api, dispatch, getState, go, readNodes, refused }) {
  /** Asks for something that an event will confirm under this key. */
  async function order(key, want, label, send) {
    dispatch({ type: "asked", key, want, label, at: Date.now() });
    try {
      return await send({ command_uid: commandUid() });
    } catch (error) {
      // Not answered in time: it stands until its deadline, and the event may still come.
      if (!(error instanceof ApiError && error.status === 504)) dispatch({ type: "settled", key });
      throw error;
    }
  }

  /** The same from a button, which has nowhere to show an error but the edge of the page. */
  async function press(key, want, label, send) {
    try {
      return await order(key, want, label, send);
    } catch (error) {
      said(label, error);
      return null;
    }
  }

  function said(label, error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 401) refused(error.text);
    else dispatch({ type: "notice", kind: "error", text: `${label}: ${error.text}` });
  }

  const of = (session) => `/sessions/${encodeURIComponent(session)}/commands`;
  const room = (id) => `/conferences/${encodeURIComponent(id)}`;

  return {
    mute: (inRoom, member, want) =>
      press(`mute:${member.uuid}`, want, `${want ? "mute" : "unmute"} ${member.callerId}`, (body) =>
        api.post(`${of(member.uuid)}/conference/${want ? "mute" : "unmute"}`, body),
      ),

    kick: (inRoom, member) =>
      press(`kick:${member.uuid}`, true, `kick ${member.callerId}`, (body) =>
        api.post(path`/conferences/${inRoom.id}/members/${member.uuid}/kick`, body),
      ),

    async lock({ id, name }, want) {
      const key = `lock:${id}`;
      const answer = await press(key, want, `${want ? "lock" : "unlock"} ${name}`, (body) => api.post(`${room(id)}/${want ? "lock" : "unlock"}`, body));
      // It is so already: no event comes, or one has come.
      if (answer && answer.status !== "in_progress") dispatch({ type: "event", event: "answer", at: Date.now(), body: { event: "conference.updated", room_id: id, data: { locked: want } } });
    },

    record: ({ id, name }, want) =>
      press(`record:${id}`, want, `${want ? "record" : "stop recording"} ${name}`, (body) => api.post(`${room(id)}/recording/${want ? "start" : "stop"}`, body)),

    stop: ({ id, name }) => press(`stop:${id}`, true, `stop what plays in ${name}`, (body) => api.post(`${room(id)}/stop`, body)),

    play: ({ id, name }) =>
      ask({
        title: `Play into ${name}`,
        fields: [
          {
            id: "urls",
            label: "URLs, one a line",
            type: "lines",
            hint: "http or https; played one after the other, behind what plays already.",
            placeholder: "https://cdn.example.com/announcement.wav",
          },
        ],
        submit: "Play",
        action: ({ urls }) =>
          order(`play:${id}`, true, `play into ${name}`, (body) =>
            api.post(`${room(id)}/play`, { ...body, urls: urls.split(/\s+/).filter(Boolean) }),
          ),
      }),

    createRoom() {
      readNodes();
      const nodes = (getState().nodes.rows ?? []).filter((node) => node.state === "up" && !node.draining);
      ask({
        title: "New room",
        fields: [
          { id: "name", label: "Name", pattern: NAME, hint: "1 to 64 letters, digits, _ and -, the first no sign.", maxlength: "64" },
          {
            id: "node",
            label: "Node",
            type: "select",
            required: false,
            options: [{ value: "", label: "The least loaded" }, ...nodes.map((node) => ({ value: node.id, label: `${node.id} (${node.calls} calls)` }))],
          },
        ],
        submit: "Create",
        async action({ name, node }) {
          const { room_id: id } = await api.post("/conferences", node ? { name, node } : { name });
          // Its event may have come already; then this says the same.
          dispatch({ type: "event", event: "answer", at: Date.now(), body: { event: "conference.created", room_id: id, data: { name } } });
          go(`#/rooms/${encodeURIComponent(id)}`);
        },
      });
    },

    deleteRoom({ id, name }, count) {
      ask({
        title: `Delete ${name}?`,
        text: count === 0 ? "Nobody is in it." : `${count === 1 ? "1 member leaves" : `${count} members leave`} it and wait${count === 1 ? "s" : ""} in park.`,
        submit: "Delete",
        danger: true,
        action: () => order(`delete:${id}`, true, `delete ${name}`, () => api.delete(room(id))),
      });
    },

    join(call) {
      const state = getState();
      const many = counts(state);
      const rooms = [...state.rooms.values()].filter((one) => one.node === call.node).sort((a, b) => a.name.localeCompare(b.name));
      if (rooms.length === 0) {
        dispatch({ type: "notice", kind: "error", text: `There is no room on ${call.node}, where ${call.callerId} is. Make one there first.` });
        return;
      }
      ask({
        title: `Join ${call.callerId}`,
        text: `The rooms on ${call.node}, where the call is.`,
        fields: [
          {
            id: "to",
            label: "Room",
            type: "select",
            options: rooms.map((one) => ({ value: one.id, label: `${one.name} (${many.get(one.id) ?? 0})${one.locked ? ", locked" : ""}` })),
          },
          {
            id: "muted",
            label: "Comes in",
            type: "select",
            options: [
              { value: "yes", label: "Muted" },
              { value: "no", label: "Able to speak" },
            ],
          },
        ],
        submit: "Join",
        action: ({ to, muted }) =>
          order(`join:${call.uuid}`, true, `join ${call.callerId}`, (body) =>
            api.post(`${of(call.uuid)}/conference/join`, { ...body, room_id: to, muted: muted === "yes" }),
          ),
      });
    },

    hangup(call) {
      ask({
        title: `Hang up ${call.callerId}?`,
        text: "The call ends.",
        submit: "Hang up",
        danger: true,
        action: () => order(`hangup:${call.uuid}`, true, `hang up ${call.callerId}`, (body) => api.post(`${of(call.uuid)}/hangup`, body)),
      });
    },

    /** Resolves when it is on its way, `null` when it was refused. */
    async sendAgain(hook, delivery) {
      const key = `send:${delivery.id}`;
      const answer = await press(key, true, `send ${delivery.event} again`, () => api.post(path`/webhooks/${hook}/deliveries/${delivery.id}/redeliver`));
      dispatch({ type: "settled", key });
      return answer;
    },
  };
}
