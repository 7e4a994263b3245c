"""The operations as methods.

Generated from fixtures/openapi.json by clients/generate. Do not edit.
"""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from .generated.api.commands import (
    answer_call,
    cancel_transfer,
    collect_digits,
    collect_member_digits,
    hang_up_call,
    join_room,
    leave_room,
    mute_member,
    send_digits,
    send_member_digits,
    stop_digits,
    stop_member_digits,
    transfer_call,
    unmute_member,
)
from .generated.api.conferencecalls_vo_ipbin import (
    create_conferencecall,
    delete_conferencecall,
    get_conferencecall,
    list_conferencecalls,
)
from .generated.api.conferences import (
    coach_member,
    create_dial_out,
    create_room,
    deafen_member,
    delete_dial_out,
    delete_room,
    get_dial_out,
    get_room,
    hang_up_members,
    hold_member,
    kick_member,
    list_dial_outs,
    list_members,
    list_rooms,
    lock_room,
    move_member,
    mute_members,
    run_commands,
    uncoach_member,
    undeafen_member,
    unhold_member,
    unlock_room,
    unmute_members,
    update_member,
    update_room,
)
from .generated.api.conferences_vo_ipbin import (
    create_conference,
    delete_conference,
    get_conference,
    list_conferences,
    start_conference_recording,
    stop_conference_recording,
    update_conference,
)
from .generated.api.nodes import list_nodes
from .generated.api.playback import (
    pause_member_recording,
    pause_playback,
    pause_recording,
    resume_member_recording,
    resume_recording,
    set_playback_volume,
    speak_to_member,
    speak_to_room,
    start_member_playback,
    start_member_recording,
    start_playback,
    start_recording,
    stop_member_playback,
    stop_member_recording,
    stop_playback,
    stop_recording,
)
from .generated.api.recordings_vo_ipbin import get_recording, list_recordings
from .generated.api.sessions import get_call, list_calls
from .generated.api.webhooks import (
    create_webhook,
    delete_webhook,
    get_delivery,
    get_webhook,
    list_deliveries,
    list_webhooks,
    recover_deliveries,
    resend_delivery,
    rotate_webhook_secret,
    test_webhook,
    update_webhook,
)
from .generated.models import (
    BulkCommand,
    BulkResult,
    CoachCommand,
    CoachOperation,
    Command,
    CommandResults,
    Commands,
    Conference,
    Conferencecall,
    ConferencecallList,
    ConferenceList,
    Deliveries,
    DeliveryDetail,
    DialOut,
    DialOutCancelled,
    DialOutList,
    DialOutStarted,
    Dtmf,
    Gather,
    Hangup,
    Hold,
    Join,
    KeypadOperation,
    ListDeliveriesStatus,
    ListMembersRole,
    ListMembersSort,
    LockCommand,
    MemberCommand,
    MemberList,
    MemberUpdate,
    Move,
    NewConference,
    NewConferencecall,
    NewDialOut,
    NewVoipbinConference,
    NewVolume,
    NewWebhook,
    NodeList,
    Operation,
    Play,
    PlaybackOperation,
    PlaybackVolume,
    Recording,
    RecordingList,
    RecordingOperation,
    Redelivery,
    RoomDetail,
    RoomList,
    RoomRef,
    RoomUpdate,
    Say,
    SessionList,
    SessionRow,
    StartRecording,
    TransferOperation,
    TransferToDestination,
    TransferToExtension,
    UpdateResult,
    VoipbinCommand,
    VoipbinUpdate,
    Webhook,
    WebhookChange,
    WebhookDetail,
    WebhookRecovered,
    WebhookRecovery,
    WebhookRef,
    WebhookRequest,
    WebhookRotation,
    Webhooks,
    WebhookSecret,
)
from .generated.types import UNSET, Unset


class Operations:
    """One method for each operation. Each returns the parsed answer, or raises `ApiError`."""

    def _call(self, operation: Any, **arguments: Any) -> Any:
        raise NotImplementedError

    def answer_call(self, uuid: str, *, body: Command | Unset = UNSET) -> Operation:
        """Answer a call."""
        return cast(Operation, self._call(answer_call.sync_detailed, uuid=uuid, body=body))

    def cancel_transfer(self, uuid: str, *, body: Command | Unset = UNSET) -> TransferOperation:
        """End a transfer."""
        return cast(TransferOperation, self._call(cancel_transfer.sync_detailed, uuid=uuid, body=body))

    def coach_member(self, room_id: str, uuid: str, *, body: CoachCommand) -> CoachOperation:
        """Coach a member."""
        return cast(CoachOperation, self._call(coach_member.sync_detailed, room_id=room_id, uuid=uuid, body=body))

    def collect_digits(self, uuid: str, *, body: Gather) -> KeypadOperation:
        """Ask a caller for digits."""
        return cast(KeypadOperation, self._call(collect_digits.sync_detailed, uuid=uuid, body=body))

    def collect_member_digits(self, room_id: str, uuid: str, *, body: Gather) -> KeypadOperation:
        """Ask a member for digits."""
        return cast(
            KeypadOperation, self._call(collect_member_digits.sync_detailed, room_id=room_id, uuid=uuid, body=body)
        )

    def create_conference(self, *, body: NewVoipbinConference | Unset = UNSET) -> Conference:
        """Create a conference."""
        return cast(Conference, self._call(create_conference.sync_detailed, body=body))

    def create_conferencecall(self, *, body: NewConferencecall) -> Conferencecall:
        """Join a call to a conference."""
        return cast(Conferencecall, self._call(create_conferencecall.sync_detailed, body=body))

    def create_dial_out(self, room_id: str, *, body: NewDialOut) -> DialOutStarted:
        """Call somebody into a conference."""
        return cast(DialOutStarted, self._call(create_dial_out.sync_detailed, room_id=room_id, body=body))

    def create_room(self, *, body: NewConference) -> RoomRef:
        """Create a conference."""
        return cast(RoomRef, self._call(create_room.sync_detailed, body=body))

    def create_webhook(self, *, body: WebhookRequest) -> NewWebhook:
        """Create a webhook endpoint."""
        return cast(NewWebhook, self._call(create_webhook.sync_detailed, body=body))

    def deafen_member(self, room_id: str, uuid: str, *, body: Command | Unset = UNSET) -> MemberCommand:
        """Deafen a member."""
        return cast(MemberCommand, self._call(deafen_member.sync_detailed, room_id=room_id, uuid=uuid, body=body))

    def delete_conference(self, conference_id: UUID) -> Conference:
        """End a conference."""
        return cast(Conference, self._call(delete_conference.sync_detailed, conference_id=conference_id))

    def delete_conferencecall(self, conferencecall_id: UUID) -> Conferencecall:
        """Kick a call out of its conference."""
        return cast(
            Conferencecall, self._call(delete_conferencecall.sync_detailed, conferencecall_id=conferencecall_id)
        )

    def delete_dial_out(self, room_id: str, uuid: str, *, body: Command | Unset = UNSET) -> DialOutCancelled:
        """Cancel a dial-out."""
        return cast(DialOutCancelled, self._call(delete_dial_out.sync_detailed, room_id=room_id, uuid=uuid, body=body))

    def delete_room(self, room_id: str) -> RoomRef:
        """End a conference."""
        return cast(RoomRef, self._call(delete_room.sync_detailed, room_id=room_id))

    def delete_webhook(self, id: str) -> WebhookRef:
        """Remove a webhook endpoint."""
        return cast(WebhookRef, self._call(delete_webhook.sync_detailed, id=id))

    def get_call(self, uuid: str) -> SessionRow:
        """Read a call."""
        return cast(SessionRow, self._call(get_call.sync_detailed, uuid=uuid))

    def get_conference(self, conference_id: UUID) -> Conference:
        """Read a conference."""
        return cast(Conference, self._call(get_conference.sync_detailed, conference_id=conference_id))

    def get_conferencecall(self, conferencecall_id: UUID) -> Conferencecall:
        """Read a conferencecall."""
        return cast(Conferencecall, self._call(get_conferencecall.sync_detailed, conferencecall_id=conferencecall_id))

    def get_delivery(self, id: str, webhook_id: str) -> DeliveryDetail:
        """Read a delivery."""
        return cast(DeliveryDetail, self._call(get_delivery.sync_detailed, id=id, webhook_id=webhook_id))

    def get_dial_out(self, room_id: str, uuid: str) -> DialOut:
        """Read a dial-out."""
        return cast(DialOut, self._call(get_dial_out.sync_detailed, room_id=room_id, uuid=uuid))

    def get_recording(self, recording_id: UUID) -> Recording:
        """Read a recording."""
        return cast(Recording, self._call(get_recording.sync_detailed, recording_id=recording_id))

    def get_room(self, room_id: str) -> RoomDetail:
        """Read a conference."""
        return cast(RoomDetail, self._call(get_room.sync_detailed, room_id=room_id))

    def get_webhook(self, id: str) -> WebhookDetail:
        """Read a webhook endpoint."""
        return cast(WebhookDetail, self._call(get_webhook.sync_detailed, id=id))

    def hang_up_call(self, uuid: str, *, body: Hangup | Unset = UNSET) -> Operation:
        """End a call."""
        return cast(Operation, self._call(hang_up_call.sync_detailed, uuid=uuid, body=body))

    def hang_up_members(self, room_id: str, *, body: BulkCommand | Unset = UNSET) -> BulkResult:
        """Hang up all members."""
        return cast(BulkResult, self._call(hang_up_members.sync_detailed, room_id=room_id, body=body))

    def hold_member(self, room_id: str, uuid: str, *, body: Hold | Unset = UNSET) -> MemberCommand:
        """Put a member on hold."""
        return cast(MemberCommand, self._call(hold_member.sync_detailed, room_id=room_id, uuid=uuid, body=body))

    def join_room(self, uuid: str, *, body: Join) -> MemberCommand:
        """Join a call to a conference."""
        return cast(MemberCommand, self._call(join_room.sync_detailed, uuid=uuid, body=body))

    def kick_member(self, room_id: str, uuid: str, *, body: Command | Unset = UNSET) -> MemberCommand:
        """Remove a member from a conference."""
        return cast(MemberCommand, self._call(kick_member.sync_detailed, room_id=room_id, uuid=uuid, body=body))

    def leave_room(self, uuid: str, *, body: Command | Unset = UNSET) -> MemberCommand:
        """Remove a call from its conference."""
        return cast(MemberCommand, self._call(leave_room.sync_detailed, uuid=uuid, body=body))

    def list_calls(self, *, limit: int | Unset = UNSET, cursor: str | Unset = UNSET) -> SessionList:
        """List the app's calls."""
        return cast(SessionList, self._call(list_calls.sync_detailed, limit=limit, cursor=cursor))

    def list_conferencecalls(
        self, *, page_size: int | Unset = UNSET, page_token: str | Unset = UNSET, conference_id: UUID | Unset = UNSET
    ) -> ConferencecallList:
        """List conferencecalls."""
        return cast(
            ConferencecallList,
            self._call(
                list_conferencecalls.sync_detailed,
                page_size=page_size,
                page_token=page_token,
                conference_id=conference_id,
            ),
        )

    def list_conferences(self, *, page_size: int | Unset = UNSET, page_token: str | Unset = UNSET) -> ConferenceList:
        """List conferences."""
        return cast(
            ConferenceList, self._call(list_conferences.sync_detailed, page_size=page_size, page_token=page_token)
        )

    def list_deliveries(
        self,
        id: str,
        *,
        status: ListDeliveriesStatus | Unset = UNSET,
        limit: int | Unset = UNSET,
        cursor: str | Unset = UNSET,
    ) -> Deliveries:
        """List an endpoint's deliveries."""
        return cast(
            Deliveries, self._call(list_deliveries.sync_detailed, id=id, status=status, limit=limit, cursor=cursor)
        )

    def list_dial_outs(self, room_id: str) -> DialOutList:
        """List the dial-outs of a conference."""
        return cast(DialOutList, self._call(list_dial_outs.sync_detailed, room_id=room_id))

    def list_members(
        self,
        room_id: str,
        *,
        limit: int | Unset = UNSET,
        cursor: str | Unset = UNSET,
        muted: bool | Unset = UNSET,
        held: bool | Unset = UNSET,
        role: ListMembersRole | Unset = UNSET,
        label_key: str | Unset = UNSET,
        sort: ListMembersSort | Unset = UNSET,
    ) -> MemberList:
        """List a conference's members."""
        return cast(
            MemberList,
            self._call(
                list_members.sync_detailed,
                room_id=room_id,
                limit=limit,
                cursor=cursor,
                muted=muted,
                held=held,
                role=role,
                label_key=label_key,
                sort=sort,
            ),
        )

    def list_nodes(self) -> NodeList:
        """List the nodes."""
        return cast(NodeList, self._call(list_nodes.sync_detailed))

    def list_recordings(
        self, *, page_size: int | Unset = UNSET, page_token: str | Unset = UNSET, conference_id: UUID | Unset = UNSET
    ) -> RecordingList:
        """List recordings."""
        return cast(
            RecordingList,
            self._call(
                list_recordings.sync_detailed, page_size=page_size, page_token=page_token, conference_id=conference_id
            ),
        )

    def list_rooms(self, *, limit: int | Unset = UNSET, cursor: str | Unset = UNSET) -> RoomList:
        """List the app's conferences."""
        return cast(RoomList, self._call(list_rooms.sync_detailed, limit=limit, cursor=cursor))

    def list_webhooks(self) -> Webhooks:
        """List the app's webhook endpoints."""
        return cast(Webhooks, self._call(list_webhooks.sync_detailed))

    def lock_room(self, room_id: str, *, body: Command | Unset = UNSET) -> LockCommand:
        """Lock a conference."""
        return cast(LockCommand, self._call(lock_room.sync_detailed, room_id=room_id, body=body))

    def move_member(self, room_id: str, uuid: str, *, body: Move) -> MemberCommand:
        """Move a member to another conference."""
        return cast(MemberCommand, self._call(move_member.sync_detailed, room_id=room_id, uuid=uuid, body=body))

    def mute_member(self, uuid: str, *, body: Command | Unset = UNSET) -> MemberCommand:
        """Mute a member."""
        return cast(MemberCommand, self._call(mute_member.sync_detailed, uuid=uuid, body=body))

    def mute_members(self, room_id: str, *, body: BulkCommand | Unset = UNSET) -> BulkResult:
        """Mute all members."""
        return cast(BulkResult, self._call(mute_members.sync_detailed, room_id=room_id, body=body))

    def pause_member_recording(self, room_id: str, uuid: str, *, body: Command | Unset = UNSET) -> RecordingOperation:
        """Pause the recording of one member."""
        return cast(
            RecordingOperation, self._call(pause_member_recording.sync_detailed, room_id=room_id, uuid=uuid, body=body)
        )

    def pause_playback(self, room_id: str, *, body: Command | Unset = UNSET) -> PlaybackOperation:
        """Pause or resume playback."""
        return cast(PlaybackOperation, self._call(pause_playback.sync_detailed, room_id=room_id, body=body))

    def pause_recording(self, room_id: str, *, body: Command | Unset = UNSET) -> RecordingOperation:
        """Pause the recording of a conference."""
        return cast(RecordingOperation, self._call(pause_recording.sync_detailed, room_id=room_id, body=body))

    def recover_deliveries(self, id: str, *, body: WebhookRecovery) -> WebhookRecovered:
        """Send dead deliveries again."""
        return cast(WebhookRecovered, self._call(recover_deliveries.sync_detailed, id=id, body=body))

    def resend_delivery(self, id: str, webhook_id: str) -> Redelivery:
        """Send a delivery again."""
        return cast(Redelivery, self._call(resend_delivery.sync_detailed, id=id, webhook_id=webhook_id))

    def resume_member_recording(self, room_id: str, uuid: str, *, body: Command | Unset = UNSET) -> RecordingOperation:
        """Resume the recording of one member."""
        return cast(
            RecordingOperation, self._call(resume_member_recording.sync_detailed, room_id=room_id, uuid=uuid, body=body)
        )

    def resume_recording(self, room_id: str, *, body: Command | Unset = UNSET) -> RecordingOperation:
        """Resume the recording of a conference."""
        return cast(RecordingOperation, self._call(resume_recording.sync_detailed, room_id=room_id, body=body))

    def rotate_webhook_secret(self, id: str, *, body: WebhookRotation | Unset = UNSET) -> WebhookSecret:
        """Replace the secret of a webhook endpoint."""
        return cast(WebhookSecret, self._call(rotate_webhook_secret.sync_detailed, id=id, body=body))

    def run_commands(self, room_id: str, *, body: Commands) -> CommandResults:
        """Run many commands."""
        return cast(CommandResults, self._call(run_commands.sync_detailed, room_id=room_id, body=body))

    def send_digits(self, uuid: str, *, body: Dtmf) -> KeypadOperation:
        """Send tones to a call."""
        return cast(KeypadOperation, self._call(send_digits.sync_detailed, uuid=uuid, body=body))

    def send_member_digits(self, room_id: str, uuid: str, *, body: Dtmf) -> KeypadOperation:
        """Send tones to a member."""
        return cast(
            KeypadOperation, self._call(send_member_digits.sync_detailed, room_id=room_id, uuid=uuid, body=body)
        )

    def set_playback_volume(self, room_id: str, *, body: NewVolume) -> PlaybackVolume:
        """Set the playback volume."""
        return cast(PlaybackVolume, self._call(set_playback_volume.sync_detailed, room_id=room_id, body=body))

    def speak_to_member(self, room_id: str, uuid: str, *, body: Say) -> PlaybackOperation:
        """Speak a text to one member."""
        return cast(PlaybackOperation, self._call(speak_to_member.sync_detailed, room_id=room_id, uuid=uuid, body=body))

    def speak_to_room(self, room_id: str, *, body: Say) -> PlaybackOperation:
        """Speak a text to a conference."""
        return cast(PlaybackOperation, self._call(speak_to_room.sync_detailed, room_id=room_id, body=body))

    def start_conference_recording(self, conference_id: UUID, *, body: VoipbinCommand | Unset = UNSET) -> Conference:
        """Record a conference."""
        return cast(
            Conference, self._call(start_conference_recording.sync_detailed, conference_id=conference_id, body=body)
        )

    def start_member_playback(self, room_id: str, uuid: str, *, body: Play) -> PlaybackOperation:
        """Play files to one member."""
        return cast(
            PlaybackOperation, self._call(start_member_playback.sync_detailed, room_id=room_id, uuid=uuid, body=body)
        )

    def start_member_recording(self, room_id: str, uuid: str, *, body: Command | Unset = UNSET) -> RecordingOperation:
        """Record one member of a conference."""
        return cast(
            RecordingOperation, self._call(start_member_recording.sync_detailed, room_id=room_id, uuid=uuid, body=body)
        )

    def start_playback(self, room_id: str, *, body: Play) -> PlaybackOperation:
        """Play files to a conference."""
        return cast(PlaybackOperation, self._call(start_playback.sync_detailed, room_id=room_id, body=body))

    def start_recording(self, room_id: str, *, body: StartRecording | Unset = UNSET) -> RecordingOperation:
        """Record a conference."""
        return cast(RecordingOperation, self._call(start_recording.sync_detailed, room_id=room_id, body=body))

    def stop_conference_recording(self, conference_id: UUID, *, body: VoipbinCommand | Unset = UNSET) -> Conference:
        """Stop the recording of a conference."""
        return cast(
            Conference, self._call(stop_conference_recording.sync_detailed, conference_id=conference_id, body=body)
        )

    def stop_digits(self, uuid: str, *, body: Command | Unset = UNSET) -> KeypadOperation:
        """Stop asking a caller for digits."""
        return cast(KeypadOperation, self._call(stop_digits.sync_detailed, uuid=uuid, body=body))

    def stop_member_digits(self, room_id: str, uuid: str, *, body: Command | Unset = UNSET) -> KeypadOperation:
        """Stop asking a member for digits."""
        return cast(
            KeypadOperation, self._call(stop_member_digits.sync_detailed, room_id=room_id, uuid=uuid, body=body)
        )

    def stop_member_playback(self, room_id: str, uuid: str, *, body: Command | Unset = UNSET) -> PlaybackOperation:
        """Stop all playback to one member."""
        return cast(
            PlaybackOperation, self._call(stop_member_playback.sync_detailed, room_id=room_id, uuid=uuid, body=body)
        )

    def stop_member_recording(self, room_id: str, uuid: str, *, body: Command | Unset = UNSET) -> RecordingOperation:
        """Stop the recording of one member."""
        return cast(
            RecordingOperation, self._call(stop_member_recording.sync_detailed, room_id=room_id, uuid=uuid, body=body)
        )

    def stop_playback(self, room_id: str, *, body: Command | Unset = UNSET) -> PlaybackOperation:
        """Stop all playback."""
        return cast(PlaybackOperation, self._call(stop_playback.sync_detailed, room_id=room_id, body=body))

    def stop_recording(self, room_id: str, *, body: Command | Unset = UNSET) -> RecordingOperation:
        """Stop the recording of a conference."""
        return cast(RecordingOperation, self._call(stop_recording.sync_detailed, room_id=room_id, body=body))

    def test_webhook(self, id: str) -> Redelivery:
        """Send a webhook endpoint a test event."""
        return cast(Redelivery, self._call(test_webhook.sync_detailed, id=id))

    def transfer_call(self, uuid: str, *, body: TransferToDestination | TransferToExtension) -> TransferOperation:
        """Transfer a call."""
        return cast(TransferOperation, self._call(transfer_call.sync_detailed, uuid=uuid, body=body))

    def uncoach_member(self, room_id: str, uuid: str, *, body: Command | Unset = UNSET) -> CoachOperation:
        """End the coaching of a member."""
        return cast(CoachOperation, self._call(uncoach_member.sync_detailed, room_id=room_id, uuid=uuid, body=body))

    def undeafen_member(self, room_id: str, uuid: str, *, body: Command | Unset = UNSET) -> MemberCommand:
        """Undeafen a member."""
        return cast(MemberCommand, self._call(undeafen_member.sync_detailed, room_id=room_id, uuid=uuid, body=body))

    def unhold_member(self, room_id: str, uuid: str, *, body: Command | Unset = UNSET) -> MemberCommand:
        """Take a member off hold."""
        return cast(MemberCommand, self._call(unhold_member.sync_detailed, room_id=room_id, uuid=uuid, body=body))

    def unlock_room(self, room_id: str, *, body: Command | Unset = UNSET) -> LockCommand:
        """Unlock a conference."""
        return cast(LockCommand, self._call(unlock_room.sync_detailed, room_id=room_id, body=body))

    def unmute_member(self, uuid: str, *, body: Command | Unset = UNSET) -> MemberCommand:
        """Unmute a member."""
        return cast(MemberCommand, self._call(unmute_member.sync_detailed, uuid=uuid, body=body))

    def unmute_members(self, room_id: str, *, body: BulkCommand | Unset = UNSET) -> BulkResult:
        """Unmute all members."""
        return cast(BulkResult, self._call(unmute_members.sync_detailed, room_id=room_id, body=body))

    def update_conference(self, conference_id: UUID, *, body: VoipbinUpdate | Unset = UNSET) -> Conference:
        """Change a conference."""
        return cast(Conference, self._call(update_conference.sync_detailed, conference_id=conference_id, body=body))

    def update_member(self, room_id: str, uuid: str, *, body: MemberUpdate | Unset = UNSET) -> UpdateResult:
        """Change the settings of a member."""
        return cast(UpdateResult, self._call(update_member.sync_detailed, room_id=room_id, uuid=uuid, body=body))

    def update_room(self, room_id: str, *, body: RoomUpdate | Unset = UNSET) -> UpdateResult:
        """Change the settings of a conference."""
        return cast(UpdateResult, self._call(update_room.sync_detailed, room_id=room_id, body=body))

    def update_webhook(self, id: str, *, body: WebhookChange | Unset = UNSET) -> Webhook:
        """Change a webhook endpoint."""
        return cast(Webhook, self._call(update_webhook.sync_detailed, id=id, body=body))
