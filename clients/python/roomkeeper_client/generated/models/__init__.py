"""Contains all the data models used in inputs/outputs"""

from .announcement import Announcement
from .app_envelope import AppEnvelope
from .bulk_command import BulkCommand
from .bulk_failure import BulkFailure
from .bulk_result import BulkResult
from .call_answered import CallAnswered
from .call_answered_event import CallAnsweredEvent
from .call_answered_event_event import CallAnsweredEventEvent
from .call_arrived import CallArrived
from .call_arrived_direction import CallArrivedDirection
from .call_direction import CallDirection
from .call_dtmf_event import CallDtmfEvent
from .call_dtmf_event_event import CallDtmfEventEvent
from .call_ended import CallEnded
from .call_envelope import CallEnvelope
from .call_gathered_event import CallGatheredEvent
from .call_gathered_event_event import CallGatheredEventEvent
from .call_hangup_event import CallHangupEvent
from .call_hangup_event_event import CallHangupEventEvent
from .call_new_event import CallNewEvent
from .call_new_event_event import CallNewEventEvent
from .call_state import CallState
from .call_transfer_ended_event import CallTransferEndedEvent
from .call_transfer_ended_event_event import CallTransferEndedEventEvent
from .call_transfer_failed_event import CallTransferFailedEvent
from .call_transfer_failed_event_event import CallTransferFailedEventEvent
from .call_transferred_event import CallTransferredEvent
from .call_transferred_event_event import CallTransferredEventEvent
from .coach_command import CoachCommand
from .coach_end_reason import CoachEndReason
from .coach_operation import CoachOperation
from .coach_status import CoachStatus
from .command import Command
from .command_entry import CommandEntry
from .command_result import CommandResult
from .command_result_body import CommandResultBody
from .command_results import CommandResults
from .commands import Commands
from .conference import Conference
from .conference_call_answered_event import ConferenceCallAnsweredEvent
from .conference_call_answered_event_event import ConferenceCallAnsweredEventEvent
from .conference_call_busy_event import ConferenceCallBusyEvent
from .conference_call_busy_event_event import ConferenceCallBusyEventEvent
from .conference_call_cancelled_event import ConferenceCallCancelledEvent
from .conference_call_cancelled_event_event import ConferenceCallCancelledEventEvent
from .conference_call_failed_event import ConferenceCallFailedEvent
from .conference_call_failed_event_event import ConferenceCallFailedEventEvent
from .conference_call_no_answer_event import ConferenceCallNoAnswerEvent
from .conference_call_no_answer_event_event import ConferenceCallNoAnswerEventEvent
from .conference_call_ringing_event import ConferenceCallRingingEvent
from .conference_call_ringing_event_event import ConferenceCallRingingEventEvent
from .conference_created_event import ConferenceCreatedEvent
from .conference_created_event_event import ConferenceCreatedEventEvent
from .conference_data import ConferenceData
from .conference_destroyed_event import ConferenceDestroyedEvent
from .conference_destroyed_event_event import ConferenceDestroyedEventEvent
from .conference_list import ConferenceList
from .conference_member_coach_failed_event import ConferenceMemberCoachFailedEvent
from .conference_member_coach_failed_event_event import (
    ConferenceMemberCoachFailedEventEvent,
)
from .conference_member_coached_event import ConferenceMemberCoachedEvent
from .conference_member_coached_event_event import ConferenceMemberCoachedEventEvent
from .conference_member_deafened_event import ConferenceMemberDeafenedEvent
from .conference_member_deafened_event_event import ConferenceMemberDeafenedEventEvent
from .conference_member_dtmf_event import ConferenceMemberDtmfEvent
from .conference_member_dtmf_event_event import ConferenceMemberDtmfEventEvent
from .conference_member_gathered_event import ConferenceMemberGatheredEvent
from .conference_member_gathered_event_event import ConferenceMemberGatheredEventEvent
from .conference_member_held_event import ConferenceMemberHeldEvent
from .conference_member_held_event_event import ConferenceMemberHeldEventEvent
from .conference_member_join_failed_event import ConferenceMemberJoinFailedEvent
from .conference_member_join_failed_event_event import (
    ConferenceMemberJoinFailedEventEvent,
)
from .conference_member_joined_event import ConferenceMemberJoinedEvent
from .conference_member_joined_event_event import ConferenceMemberJoinedEventEvent
from .conference_member_left_event import ConferenceMemberLeftEvent
from .conference_member_left_event_event import ConferenceMemberLeftEventEvent
from .conference_member_move_failed_event import ConferenceMemberMoveFailedEvent
from .conference_member_move_failed_event_event import (
    ConferenceMemberMoveFailedEventEvent,
)
from .conference_member_muted_event import ConferenceMemberMutedEvent
from .conference_member_muted_event_event import ConferenceMemberMutedEventEvent
from .conference_member_play_finished_event import ConferenceMemberPlayFinishedEvent
from .conference_member_play_finished_event_event import (
    ConferenceMemberPlayFinishedEventEvent,
)
from .conference_member_play_started_event import ConferenceMemberPlayStartedEvent
from .conference_member_play_started_event_event import (
    ConferenceMemberPlayStartedEventEvent,
)
from .conference_member_play_stopped_event import ConferenceMemberPlayStoppedEvent
from .conference_member_play_stopped_event_event import (
    ConferenceMemberPlayStoppedEventEvent,
)
from .conference_member_reconnected_event import ConferenceMemberReconnectedEvent
from .conference_member_reconnected_event_event import (
    ConferenceMemberReconnectedEventEvent,
)
from .conference_member_recording_failed_event import (
    ConferenceMemberRecordingFailedEvent,
)
from .conference_member_recording_failed_event_event import (
    ConferenceMemberRecordingFailedEventEvent,
)
from .conference_member_recording_paused_event import (
    ConferenceMemberRecordingPausedEvent,
)
from .conference_member_recording_paused_event_event import (
    ConferenceMemberRecordingPausedEventEvent,
)
from .conference_member_recording_resumed_event import (
    ConferenceMemberRecordingResumedEvent,
)
from .conference_member_recording_resumed_event_event import (
    ConferenceMemberRecordingResumedEventEvent,
)
from .conference_member_recording_started_event import (
    ConferenceMemberRecordingStartedEvent,
)
from .conference_member_recording_started_event_event import (
    ConferenceMemberRecordingStartedEventEvent,
)
from .conference_member_recording_stopped_event import (
    ConferenceMemberRecordingStoppedEvent,
)
from .conference_member_recording_stopped_event_event import (
    ConferenceMemberRecordingStoppedEventEvent,
)
from .conference_member_talking_event import ConferenceMemberTalkingEvent
from .conference_member_talking_event_event import ConferenceMemberTalkingEventEvent
from .conference_member_talking_muted_event import ConferenceMemberTalkingMutedEvent
from .conference_member_talking_muted_event_event import (
    ConferenceMemberTalkingMutedEventEvent,
)
from .conference_member_uncoached_event import ConferenceMemberUncoachedEvent
from .conference_member_uncoached_event_event import ConferenceMemberUncoachedEventEvent
from .conference_member_undeafened_event import ConferenceMemberUndeafenedEvent
from .conference_member_undeafened_event_event import (
    ConferenceMemberUndeafenedEventEvent,
)
from .conference_member_unheld_event import ConferenceMemberUnheldEvent
from .conference_member_unheld_event_event import ConferenceMemberUnheldEventEvent
from .conference_member_unmuted_event import ConferenceMemberUnmutedEvent
from .conference_member_unmuted_event_event import ConferenceMemberUnmutedEventEvent
from .conference_member_updated_event import ConferenceMemberUpdatedEvent
from .conference_member_updated_event_event import ConferenceMemberUpdatedEventEvent
from .conference_play_finished_event import ConferencePlayFinishedEvent
from .conference_play_finished_event_event import ConferencePlayFinishedEventEvent
from .conference_play_paused_event import ConferencePlayPausedEvent
from .conference_play_paused_event_event import ConferencePlayPausedEventEvent
from .conference_play_resumed_event import ConferencePlayResumedEvent
from .conference_play_resumed_event_event import ConferencePlayResumedEventEvent
from .conference_play_started_event import ConferencePlayStartedEvent
from .conference_play_started_event_event import ConferencePlayStartedEventEvent
from .conference_play_stopped_event import ConferencePlayStoppedEvent
from .conference_play_stopped_event_event import ConferencePlayStoppedEventEvent
from .conference_play_volume_changed_event import ConferencePlayVolumeChangedEvent
from .conference_play_volume_changed_event_event import (
    ConferencePlayVolumeChangedEventEvent,
)
from .conference_post_actions_item import ConferencePostActionsItem
from .conference_pre_actions_item import ConferencePreActionsItem
from .conference_recording_failed_event import ConferenceRecordingFailedEvent
from .conference_recording_failed_event_event import ConferenceRecordingFailedEventEvent
from .conference_recording_paused_event import ConferenceRecordingPausedEvent
from .conference_recording_paused_event_event import ConferenceRecordingPausedEventEvent
from .conference_recording_resumed_event import ConferenceRecordingResumedEvent
from .conference_recording_resumed_event_event import (
    ConferenceRecordingResumedEventEvent,
)
from .conference_recording_started_event import ConferenceRecordingStartedEvent
from .conference_recording_started_event_event import (
    ConferenceRecordingStartedEventEvent,
)
from .conference_recording_stopped_event import ConferenceRecordingStoppedEvent
from .conference_recording_stopped_event_event import (
    ConferenceRecordingStoppedEventEvent,
)
from .conference_started_event import ConferenceStartedEvent
from .conference_started_event_event import ConferenceStartedEventEvent
from .conference_status import ConferenceStatus
from .conference_type import ConferenceType
from .conference_updated_event import ConferenceUpdatedEvent
from .conference_updated_event_event import ConferenceUpdatedEventEvent
from .conferencecall import Conferencecall
from .conferencecall_list import ConferencecallList
from .conferencecall_status import ConferencecallStatus
from .count_announcement import CountAnnouncement
from .deliveries import Deliveries
from .delivery import Delivery
from .delivery_attempt import DeliveryAttempt
from .delivery_detail import DeliveryDetail
from .delivery_detail_body import DeliveryDetailBody
from .delivery_status import DeliveryStatus
from .dial_ended import DialEnded
from .dial_out import DialOut
from .dial_out_cancel_status import DialOutCancelStatus
from .dial_out_cancelled import DialOutCancelled
from .dial_out_list import DialOutList
from .dial_out_started import DialOutStarted
from .dial_out_status import DialOutStatus
from .dial_progressed import DialProgressed
from .digit_received import DigitReceived
from .digits_gathered import DigitsGathered
from .disabled_reason import DisabledReason
from .dtmf import Dtmf
from .failure import Failure
from .failure_detail_type_0 import FailureDetailType0
from .gather import Gather
from .gather_end_reason import GatherEndReason
from .hangup import Hangup
from .hangup_cause_type_1 import HangupCauseType1
from .hangup_cause_type_2_type_1 import HangupCauseType2Type1
from .hangup_cause_type_3_type_1 import HangupCauseType3Type1
from .hold import Hold
from .join import Join
from .join_failure_reason import JoinFailureReason
from .keypad_operation import KeypadOperation
from .keypad_status import KeypadStatus
from .left_reason import LeftReason
from .list_deliveries_status import ListDeliveriesStatus
from .list_members_role import ListMembersRole
from .list_members_sort import ListMembersSort
from .live_envelope import LiveEnvelope
from .lock_command import LockCommand
from .lock_status import LockStatus
from .member_coach_ended import MemberCoachEnded
from .member_coached import MemberCoached
from .member_command import MemberCommand
from .member_command_status import MemberCommandStatus
from .member_envelope import MemberEnvelope
from .member_flag_changed import MemberFlagChanged
from .member_floor import MemberFloor
from .member_floor_event import MemberFloorEvent
from .member_floor_event_event import MemberFloorEventEvent
from .member_held import MemberHeld
from .member_join_failed import MemberJoinFailed
from .member_joined import MemberJoined
from .member_left import MemberLeft
from .member_list import MemberList
from .member_move_failed import MemberMoveFailed
from .member_reconnected import MemberReconnected
from .member_role import MemberRole
from .member_row import MemberRow
from .member_settings import MemberSettings
from .member_settings_labels import MemberSettingsLabels
from .member_talking import MemberTalking
from .member_talking_event import MemberTalkingEvent
from .member_talking_event_event import MemberTalkingEventEvent
from .member_talks import MemberTalks
from .member_talks_muted import MemberTalksMuted
from .member_update import MemberUpdate
from .member_update_labels_type_0 import MemberUpdateLabelsType0
from .member_updated import MemberUpdated
from .missing_events import MissingEvents
from .move import Move
from .new_conference import NewConference
from .new_conferencecall import NewConferencecall
from .new_dial_out import NewDialOut
from .new_dial_out_headers_type_0 import NewDialOutHeadersType0
from .new_voipbin_conference import NewVoipbinConference
from .new_voipbin_conference_data_type_0 import NewVoipbinConferenceDataType0
from .new_volume import NewVolume
from .new_webhook import NewWebhook
from .node import Node
from .node_list import NodeList
from .node_state import NodeState
from .operation import Operation
from .operation_status import OperationStatus
from .plain_action import PlainAction
from .plain_option import PlainOption
from .play import Play
from .play_action import PlayAction
from .play_option import PlayOption
from .playback_changed import PlaybackChanged
from .playback_error import PlaybackError
from .playback_finished import PlaybackFinished
from .playback_operation import PlaybackOperation
from .playback_operation_status import PlaybackOperationStatus
from .playback_started import PlaybackStarted
from .playback_status import PlaybackStatus
from .playback_volume import PlaybackVolume
from .playback_volume_changed import PlaybackVolumeChanged
from .recording import Recording
from .recording_changed import RecordingChanged
from .recording_failed import RecordingFailed
from .recording_failure_reason import RecordingFailureReason
from .recording_format import RecordingFormat
from .recording_list import RecordingList
from .recording_operation import RecordingOperation
from .recording_status import RecordingStatus
from .redelivery import Redelivery
from .reference_type import ReferenceType
from .room_created import RoomCreated
from .room_destroyed import RoomDestroyed
from .room_detail import RoomDetail
from .room_envelope import RoomEnvelope
from .room_list import RoomList
from .room_ref import RoomRef
from .room_row import RoomRow
from .room_settings import RoomSettings
from .room_settings_labels import RoomSettingsLabels
from .room_started import RoomStarted
from .room_update import RoomUpdate
from .room_update_labels_type_0 import RoomUpdateLabelsType0
from .room_updated import RoomUpdated
from .room_updated_data import RoomUpdatedData
from .room_updated_post_actions_item import RoomUpdatedPostActionsItem
from .room_updated_pre_actions_item import RoomUpdatedPreActionsItem
from .say import Say
from .session_list import SessionList
from .session_row import SessionRow
from .shown_room_settings import ShownRoomSettings
from .sleep_action import SleepAction
from .sleep_option import SleepOption
from .start_recording import StartRecording
from .stream_envelope import StreamEnvelope
from .stream_event import StreamEvent
from .stream_filter import StreamFilter
from .stream_gap_event import StreamGapEvent
from .stream_gap_event_event import StreamGapEventEvent
from .stream_interrupted import StreamInterrupted
from .stream_open_event import StreamOpenEvent
from .stream_open_event_event import StreamOpenEventEvent
from .stream_opened import StreamOpened
from .talk_action import TalkAction
from .talk_option import TalkOption
from .tones import Tones
from .transfer_end_reason import TransferEndReason
from .transfer_ended import TransferEnded
from .transfer_failed import TransferFailed
from .transfer_failure_reason import TransferFailureReason
from .transfer_operation import TransferOperation
from .transfer_status import TransferStatus
from .transfer_to_destination import TransferToDestination
from .transfer_to_extension import TransferToExtension
from .transferred import Transferred
from .update_result import UpdateResult
from .update_status import UpdateStatus
from .voipbin_command import VoipbinCommand
from .voipbin_recording_status import VoipbinRecordingStatus
from .voipbin_update import VoipbinUpdate
from .voipbin_update_data_type_0 import VoipbinUpdateDataType0
from .webhook import Webhook
from .webhook_change import WebhookChange
from .webhook_detail import WebhookDetail
from .webhook_disabled import WebhookDisabled
from .webhook_disabled_event import WebhookDisabledEvent
from .webhook_disabled_event_event import WebhookDisabledEventEvent
from .webhook_disabled_reason import WebhookDisabledReason
from .webhook_error import WebhookError
from .webhook_filter import WebhookFilter
from .webhook_recovered import WebhookRecovered
from .webhook_recovery import WebhookRecovery
from .webhook_ref import WebhookRef
from .webhook_request import WebhookRequest
from .webhook_rotation import WebhookRotation
from .webhook_secret import WebhookSecret
from .webhook_summary import WebhookSummary
from .webhook_test_event import WebhookTestEvent
from .webhook_test_event_event import WebhookTestEventEvent
from .webhook_tested import WebhookTested
from .webhooks import Webhooks

__all__ = (
    "Announcement",
    "AppEnvelope",
    "BulkCommand",
    "BulkFailure",
    "BulkResult",
    "CallAnswered",
    "CallAnsweredEvent",
    "CallAnsweredEventEvent",
    "CallArrived",
    "CallArrivedDirection",
    "CallDirection",
    "CallDtmfEvent",
    "CallDtmfEventEvent",
    "CallEnded",
    "CallEnvelope",
    "CallGatheredEvent",
    "CallGatheredEventEvent",
    "CallHangupEvent",
    "CallHangupEventEvent",
    "CallNewEvent",
    "CallNewEventEvent",
    "CallState",
    "CallTransferEndedEvent",
    "CallTransferEndedEventEvent",
    "CallTransferFailedEvent",
    "CallTransferFailedEventEvent",
    "CallTransferredEvent",
    "CallTransferredEventEvent",
    "CoachCommand",
    "CoachEndReason",
    "CoachOperation",
    "CoachStatus",
    "Command",
    "CommandEntry",
    "CommandResult",
    "CommandResultBody",
    "CommandResults",
    "Commands",
    "Conference",
    "ConferenceCallAnsweredEvent",
    "ConferenceCallAnsweredEventEvent",
    "ConferenceCallBusyEvent",
    "ConferenceCallBusyEventEvent",
    "ConferenceCallCancelledEvent",
    "ConferenceCallCancelledEventEvent",
    "ConferenceCallFailedEvent",
    "ConferenceCallFailedEventEvent",
    "ConferenceCallNoAnswerEvent",
    "ConferenceCallNoAnswerEventEvent",
    "ConferenceCallRingingEvent",
    "ConferenceCallRingingEventEvent",
    "ConferenceCreatedEvent",
    "ConferenceCreatedEventEvent",
    "ConferenceData",
    "ConferenceDestroyedEvent",
    "ConferenceDestroyedEventEvent",
    "ConferenceList",
    "ConferenceMemberCoachFailedEvent",
    "ConferenceMemberCoachFailedEventEvent",
    "ConferenceMemberCoachedEvent",
    "ConferenceMemberCoachedEventEvent",
    "ConferenceMemberDeafenedEvent",
    "ConferenceMemberDeafenedEventEvent",
    "ConferenceMemberDtmfEvent",
    "ConferenceMemberDtmfEventEvent",
    "ConferenceMemberGatheredEvent",
    "ConferenceMemberGatheredEventEvent",
    "ConferenceMemberHeldEvent",
    "ConferenceMemberHeldEventEvent",
    "ConferenceMemberJoinFailedEvent",
    "ConferenceMemberJoinFailedEventEvent",
    "ConferenceMemberJoinedEvent",
    "ConferenceMemberJoinedEventEvent",
    "ConferenceMemberLeftEvent",
    "ConferenceMemberLeftEventEvent",
    "ConferenceMemberMoveFailedEvent",
    "ConferenceMemberMoveFailedEventEvent",
    "ConferenceMemberMutedEvent",
    "ConferenceMemberMutedEventEvent",
    "ConferenceMemberPlayFinishedEvent",
    "ConferenceMemberPlayFinishedEventEvent",
    "ConferenceMemberPlayStartedEvent",
    "ConferenceMemberPlayStartedEventEvent",
    "ConferenceMemberPlayStoppedEvent",
    "ConferenceMemberPlayStoppedEventEvent",
    "ConferenceMemberReconnectedEvent",
    "ConferenceMemberReconnectedEventEvent",
    "ConferenceMemberRecordingFailedEvent",
    "ConferenceMemberRecordingFailedEventEvent",
    "ConferenceMemberRecordingPausedEvent",
    "ConferenceMemberRecordingPausedEventEvent",
    "ConferenceMemberRecordingResumedEvent",
    "ConferenceMemberRecordingResumedEventEvent",
    "ConferenceMemberRecordingStartedEvent",
    "ConferenceMemberRecordingStartedEventEvent",
    "ConferenceMemberRecordingStoppedEvent",
    "ConferenceMemberRecordingStoppedEventEvent",
    "ConferenceMemberTalkingEvent",
    "ConferenceMemberTalkingEventEvent",
    "ConferenceMemberTalkingMutedEvent",
    "ConferenceMemberTalkingMutedEventEvent",
    "ConferenceMemberUncoachedEvent",
    "ConferenceMemberUncoachedEventEvent",
    "ConferenceMemberUndeafenedEvent",
    "ConferenceMemberUndeafenedEventEvent",
    "ConferenceMemberUnheldEvent",
    "ConferenceMemberUnheldEventEvent",
    "ConferenceMemberUnmutedEvent",
    "ConferenceMemberUnmutedEventEvent",
    "ConferenceMemberUpdatedEvent",
    "ConferenceMemberUpdatedEventEvent",
    "ConferencePlayFinishedEvent",
    "ConferencePlayFinishedEventEvent",
    "ConferencePlayPausedEvent",
    "ConferencePlayPausedEventEvent",
    "ConferencePlayResumedEvent",
    "ConferencePlayResumedEventEvent",
    "ConferencePlayStartedEvent",
    "ConferencePlayStartedEventEvent",
    "ConferencePlayStoppedEvent",
    "ConferencePlayStoppedEventEvent",
    "ConferencePlayVolumeChangedEvent",
    "ConferencePlayVolumeChangedEventEvent",
    "ConferencePostActionsItem",
    "ConferencePreActionsItem",
    "ConferenceRecordingFailedEvent",
    "ConferenceRecordingFailedEventEvent",
    "ConferenceRecordingPausedEvent",
    "ConferenceRecordingPausedEventEvent",
    "ConferenceRecordingResumedEvent",
    "ConferenceRecordingResumedEventEvent",
    "ConferenceRecordingStartedEvent",
    "ConferenceRecordingStartedEventEvent",
    "ConferenceRecordingStoppedEvent",
    "ConferenceRecordingStoppedEventEvent",
    "ConferenceStartedEvent",
    "ConferenceStartedEventEvent",
    "ConferenceStatus",
    "ConferenceType",
    "ConferenceUpdatedEvent",
    "ConferenceUpdatedEventEvent",
    "Conferencecall",
    "ConferencecallList",
    "ConferencecallStatus",
    "CountAnnouncement",
    "Deliveries",
    "Delivery",
    "DeliveryAttempt",
    "DeliveryDetail",
    "DeliveryDetailBody",
    "DeliveryStatus",
    "DialEnded",
    "DialOut",
    "DialOutCancelStatus",
    "DialOutCancelled",
    "DialOutList",
    "DialOutStarted",
    "DialOutStatus",
    "DialProgressed",
    "DigitReceived",
    "DigitsGathered",
    "DisabledReason",
    "Dtmf",
    "Failure",
    "FailureDetailType0",
    "Gather",
    "GatherEndReason",
    "Hangup",
    "HangupCauseType1",
    "HangupCauseType2Type1",
    "HangupCauseType3Type1",
    "Hold",
    "Join",
    "JoinFailureReason",
    "KeypadOperation",
    "KeypadStatus",
    "LeftReason",
    "ListDeliveriesStatus",
    "ListMembersRole",
    "ListMembersSort",
    "LiveEnvelope",
    "LockCommand",
    "LockStatus",
    "MemberCoachEnded",
    "MemberCoached",
    "MemberCommand",
    "MemberCommandStatus",
    "MemberEnvelope",
    "MemberFlagChanged",
    "MemberFloor",
    "MemberFloorEvent",
    "MemberFloorEventEvent",
    "MemberHeld",
    "MemberJoinFailed",
    "MemberJoined",
    "MemberLeft",
    "MemberList",
    "MemberMoveFailed",
    "MemberReconnected",
    "MemberRole",
    "MemberRow",
    "MemberSettings",
    "MemberSettingsLabels",
    "MemberTalking",
    "MemberTalkingEvent",
    "MemberTalkingEventEvent",
    "MemberTalks",
    "MemberTalksMuted",
    "MemberUpdate",
    "MemberUpdateLabelsType0",
    "MemberUpdated",
    "MissingEvents",
    "Move",
    "NewConference",
    "NewConferencecall",
    "NewDialOut",
    "NewDialOutHeadersType0",
    "NewVoipbinConference",
    "NewVoipbinConferenceDataType0",
    "NewVolume",
    "NewWebhook",
    "Node",
    "NodeList",
    "NodeState",
    "Operation",
    "OperationStatus",
    "PlainAction",
    "PlainOption",
    "Play",
    "PlayAction",
    "PlayOption",
    "PlaybackChanged",
    "PlaybackError",
    "PlaybackFinished",
    "PlaybackOperation",
    "PlaybackOperationStatus",
    "PlaybackStarted",
    "PlaybackStatus",
    "PlaybackVolume",
    "PlaybackVolumeChanged",
    "Recording",
    "RecordingChanged",
    "RecordingFailed",
    "RecordingFailureReason",
    "RecordingFormat",
    "RecordingList",
    "RecordingOperation",
    "RecordingStatus",
    "Redelivery",
    "ReferenceType",
    "RoomCreated",
    "RoomDestroyed",
    "RoomDetail",
    "RoomEnvelope",
    "RoomList",
    "RoomRef",
    "RoomRow",
    "RoomSettings",
    "RoomSettingsLabels",
    "RoomStarted",
    "RoomUpdate",
    "RoomUpdateLabelsType0",
    "RoomUpdated",
    "RoomUpdatedData",
    "RoomUpdatedPostActionsItem",
    "RoomUpdatedPreActionsItem",
    "Say",
    "SessionList",
    "SessionRow",
    "ShownRoomSettings",
    "SleepAction",
    "SleepOption",
    "StartRecording",
    "StreamEnvelope",
    "StreamEvent",
    "StreamFilter",
    "StreamGapEvent",
    "StreamGapEventEvent",
    "StreamInterrupted",
    "StreamOpenEvent",
    "StreamOpenEventEvent",
    "StreamOpened",
    "TalkAction",
    "TalkOption",
    "Tones",
    "TransferEndReason",
    "TransferEnded",
    "TransferFailed",
    "TransferFailureReason",
    "TransferOperation",
    "TransferStatus",
    "TransferToDestination",
    "TransferToExtension",
    "Transferred",
    "UpdateResult",
    "UpdateStatus",
    "VoipbinCommand",
    "VoipbinRecordingStatus",
    "VoipbinUpdate",
    "VoipbinUpdateDataType0",
    "Webhook",
    "WebhookChange",
    "WebhookDetail",
    "WebhookDisabled",
    "WebhookDisabledEvent",
    "WebhookDisabledEventEvent",
    "WebhookDisabledReason",
    "WebhookError",
    "WebhookFilter",
    "WebhookRecovered",
    "WebhookRecovery",
    "WebhookRef",
    "WebhookRequest",
    "WebhookRotation",
    "WebhookSecret",
    "WebhookSummary",
    "WebhookTestEvent",
    "WebhookTestEventEvent",
    "WebhookTested",
    "Webhooks",
)
