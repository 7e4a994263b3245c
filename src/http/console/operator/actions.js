// The operator's actions, one function per button. Each asks first where calls or rooms end.

import { path } from "../api.js";
import { sender } from "../sending.js";
import { ask } from "../views/dialogs.js";

export function createActions({ api, dispatch, getState, read, refused }) {
  // The admin API has no `command_uid`.
  const send = sender({ dispatch, getState, uid: () => undefined, refused });

  /** Sends a command and reads the page again. */
  async function press(key, want, label, request) {
    const answer = await send.press(key, want, label, request);
    read();
    return answer;
  }

  const confirmed = (title, text, submit, key, want, label, request) =>
    ask({
      title,
      text,
      submit,
      danger: true,
      async action(_, waits) {
        await send.submit(key, want, label, request, waits);
        read();
      },
    });

  return {
    cancel: send.cancel,

    hangup({ uuid, caller_id: caller, app_id: app }) {
      const name = caller || "this call";
      confirmed(`Hang up ${name}?`, `The call of ${app} ends.`, "Hang up", `hangup:${uuid}`, true, `hang up ${name}`, () => api.post(path`/calls/${uuid}/hangup`));
    },

    deleteRoom({ room_id: id, name, app_id: app, members }) {
      const n = Array.isArray(members) ? members.length : members;
      const text = n === 0 ? "It is empty." : `${n === 1 ? "1 member goes" : `${n} members go`} back to park.`;
      confirmed(`Delete ${name || "this room"}?`, `The room of ${app} ends. ${text}`, "Delete", `delete:${id}`, true, `delete ${name}`, () => api.delete(path`/rooms/${id}`));
    },

    drain: ({ id }, want) => press(`drain:${id}`, want, `${want ? "drain" : "undrain"} ${id}`, () => api.post(path`/nodes/${id}` + (want ? "/drain" : "/undrain"))),

    resync: ({ id, resynced_at: before }) => press(`resync:${id}`, before, `resync ${id}`, () => api.post(path`/nodes/${id}/resync`)),

    enableApp: ({ app_id: id }) => press(`disable:${id}`, false, `enable ${id}`, () => api.post(path`/apps/${id}/enable`)),

    disableApp({ app_id: id }) {
      confirmed(`Disable ${id}?`, "Its requests get 401 from then on. Its rooms and calls continue.", "Disable", `disable:${id}`, true, `disable ${id}`, () => api.post(path`/apps/${id}/disable`));
    },
  };
}
