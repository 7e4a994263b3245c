// Generated from fixtures/openapi.json by clients/generate. Do not edit.

import type { components } from "./schema.js";

/** The events of the stream that are no webhooks. */
export type LiveEvent =
  | components["schemas"]["MemberFloorEvent"]
  | components["schemas"]["MemberTalkingEvent"]
  | components["schemas"]["StreamGapEvent"]
  | components["schemas"]["StreamOpenEvent"];

/** The paths whose body takes a `command_uid`. */
export const COMMAND_PATHS: readonly RegExp[] = [
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/hangup$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/lock$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/members\/[^\/]+\/coach$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/members\/[^\/]+\/deaf$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/members\/[^\/]+\/dtmf$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/members\/[^\/]+\/gather$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/members\/[^\/]+\/gather\/stop$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/members\/[^\/]+\/hold$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/members\/[^\/]+\/kick$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/members\/[^\/]+\/move$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/members\/[^\/]+\/play$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/members\/[^\/]+\/recording\/pause$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/members\/[^\/]+\/recording\/resume$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/members\/[^\/]+\/recording\/start$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/members\/[^\/]+\/recording\/stop$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/members\/[^\/]+\/say$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/members\/[^\/]+\/stop$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/members\/[^\/]+\/uncoach$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/members\/[^\/]+\/undeaf$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/members\/[^\/]+\/unhold$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/mute$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/pause$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/play$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/recording\/pause$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/recording\/resume$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/recording\/start$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/recording\/stop$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/say$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/stop$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/unlock$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/unmute$/,
  /^(?:\/.*)?\/api\/v1\/conferences\/[^\/]+\/volume$/,
  /^(?:\/.*)?\/api\/v1\/sessions\/[^\/]+\/commands\/answer$/,
  /^(?:\/.*)?\/api\/v1\/sessions\/[^\/]+\/commands\/conference\/leave$/,
  /^(?:\/.*)?\/api\/v1\/sessions\/[^\/]+\/commands\/conference\/mute$/,
  /^(?:\/.*)?\/api\/v1\/sessions\/[^\/]+\/commands\/conference\/unmute$/,
  /^(?:\/.*)?\/api\/v1\/sessions\/[^\/]+\/commands\/dtmf$/,
  /^(?:\/.*)?\/api\/v1\/sessions\/[^\/]+\/commands\/gather$/,
  /^(?:\/.*)?\/api\/v1\/sessions\/[^\/]+\/commands\/gather\/stop$/,
  /^(?:\/.*)?\/api\/v1\/sessions\/[^\/]+\/commands\/hangup$/,
  /^(?:\/.*)?\/api\/v1\/sessions\/[^\/]+\/commands\/transfer\/cancel$/,
];
