//! A call that is transferred out: requests, FreeSWITCH's events, lost events, and the resulting notifications.

use roomkeeper_core::call::{Bridge, TransferChange, TransferEvent};
use roomkeeper_core::dial::{DialPermission, DialRules, TransferRequest, TransferTarget};
use roomkeeper_core::intent::{CancelTransfer, Transfer};
use roomkeeper_core::switch_event::{ChannelDump, ListedChannel};

use super::*;

/// The notification of a transfer, as a text.
pub(crate) fn words(event: &TransferEvent) -> String {
    let uid = event.command_uid.as_ref().unwrap();
    let text = match &event.change {
        TransferChange::Answered => "transferred".to_owned(),
        TransferChange::Failed {
            reason,
            cause,
            sip_status,
        } => {
            let status = sip_status.map(|status| format!(" {status}"));
            let reason = reason.as_str();
            format!("failed {reason} {cause}{}", status.unwrap_or_default())
        }
        TransferChange::Ended { reason, .. } => format!("ended {}", reason.as_str()),
    };
    format!("call.transfer {text} [{uid}]")
}

impl World {
    /// A room with a member, and a parked call of the same app; transfers are allowed.
    fn with_transfers() -> Self {
        let mut world = Self::new();
        let rules = Rules {
            apps: BTreeSet::from([demo()]),
            dial: DialRules {
                numbers_have_route: true,
                addresses_have_route: false,
                permissions: vec![DialPermission {
                    app: Some(demo()),
                    numbers: vec!["+49".to_owned()],
                    contexts: vec!["desk".parse().unwrap()],
                    ..DialPermission::default()
                }],
            },
            ..Rules::default()
        };
        world.node_state = NodeState::new(node(), rules);
        world.with(|node_state, cx| node_state.core_changed(Some(core()), cx));
        world.parks(call(1), Some("demo"));
        world.channel(call(1), ChannelChange::Answered(identity(Some("demo"))));
        world.notifications.clear();
        world.commands.clear();
        world
    }

    fn transfer(&mut self, to: &str) -> Result<Accepted, Refusal> {
        let request = Box::new(TransferRequest {
            to: TransferTarget::Destination(to.parse().unwrap()),
            from: None,
            caller_name: None,
            timeout: 30,
        });
        let intent = Intent::new(Target::Call(call(1)), demo(), Transfer { request });
        self.submit(intent.with_uid(Some("t-1".parse().unwrap())))
    }

    fn cancel_transfer(&mut self) -> Result<Accepted, Refusal> {
        let intent = Intent::new(Target::Call(call(1)), demo(), CancelTransfer);
        self.submit(intent.with_uid(Some("t-2".parse().unwrap())))
    }

    /// Returns the id of the last command that parks the call.
    fn last_transfer_park(&self) -> Option<ParkId> {
        self.node_state.call(call(1)).unwrap().pending_park()
    }

    fn is_bridged(&mut self) {
        let transfer = self.node_state.call(call(1)).unwrap().transfer().unwrap();
        let by = transfer.id.map(ParkId);
        self.channel(call(1), ChannelChange::Bridged { by });
    }

    fn parks_with(&mut self, bridge: Option<Bridge>) {
        let parked = ChannelChange::Parked {
            identity: identity(Some("demo")),
            by: self.last_transfer_park(),
            bridge,
        };
        self.channel(call(1), parked);
    }

    fn call_is_dumped(&mut self, transfers: bool, bridge: Option<Bridge>) {
        self.sequence += 1;
        let transfer = self.node_state.call(call(1)).unwrap().transfer();
        let dump = ChannelDump {
            core: core(),
            sequence: self.sequence,
            channel: call(1).channel(),
            identity: identity(Some("demo")),
            parked: !transfers,
            parked_by: transfer
                .and_then(|transfer| transfer.id.map(ParkId))
                .or(self.last_transfer_park()),
            listens_to: None,
            transfers,
            bridge,
            is_leg: false,
        };
        self.with(|b, cx| b.apply_dump(dump, cx));
    }

    fn word(&self) -> &'static str {
        self.node_state.call(call(1)).unwrap().status().as_str()
    }

    fn names(&self) -> Vec<&'static str> {
        self.commands.iter().map(SwitchCommand::name).collect()
    }
}

fn busy() -> Option<Bridge> {
    Some(Bridge::Failed {
        cause: "USER_BUSY".to_owned(),
        sip_status: Some(486),
    })
}

fn over() -> Option<Bridge> {
    Some(Bridge::Answered {
        cause: Some("NORMAL_CLEARING".to_owned()),
    })
}

#[test]
fn transfer_is_answered_and_ends() {
    let mut world = World::with_transfers();
    world.transfer("+49301").unwrap();
    assert_eq!(
        (world.word(), world.names()),
        ("transferring", vec!["transfer"])
    );
    world.is_bridged();
    world.is_bridged();
    assert_eq!(world.word(), "transferred");
    world.expect_notifications(&["call.transfer transferred [t-1]"]);
    assert_eq!(world.transfer("+49301"), Err(Refusal::Transferring));
    assert_eq!(world.join(call(1), room(1)), Err(Refusal::RoomNotFound));
    world.parks_with(over());
    assert_eq!(world.word(), "parked");
    world.expect_notifications(&["call.transfer ended hangup [t-1]"]);
}

#[test]
fn unanswered_transfer_fails_with_its_cause() {
    let mut world = World::with_transfers();
    world.transfer("+49301").unwrap();
    world.parks_with(busy());
    assert_eq!(world.word(), "parked");
    world.expect_notifications(&["call.transfer failed busy USER_BUSY 486 [t-1]"]);
    assert!(world.transfer("+49301").is_ok());
}

#[test]
fn lost_answer_is_reported_with_the_end() {
    let mut world = World::with_transfers();
    world.transfer("+49301").unwrap();
    world.parks_with(over());
    world.expect_notifications(&[
        "call.transfer transferred [t-1] synthesized",
        "call.transfer ended hangup [t-1]",
    ]);
}

#[test]
fn dump_shows_a_lost_answer_and_repeats_a_lost_end() {
    let mut world = World::with_transfers();
    world.transfer("+49301").unwrap();
    world.call_is_dumped(true, None);
    assert_eq!(world.word(), "transferring");
    world.call_is_dumped(true, Some(Bridge::Answered { cause: None }));
    assert_eq!(world.word(), "transferred");
    world.expect_notifications(&["call.transfer transferred [t-1] synthesized"]);
    world.cancel_transfer().unwrap();
    world.cancel_transfer().unwrap();
    assert_eq!(world.names(), ["transfer", "break"]);
    world.now = world.now + Duration::from_secs(10);
    world.with(|b, cx| b.deadline(EntityId::Call(call(1)), cx));
    world.call_is_dumped(true, Some(Bridge::Answered { cause: None }));
    assert_eq!(world.names(), ["transfer", "break", "break"]);
    world.parks_with(over());
    world.expect_notifications(&["call.transfer ended cancelled [t-2]"]);
}

#[test]
fn overdue_transfer_is_ended_only_if_nobody_answered() {
    let mut world = World::with_transfers();
    world.transfer("+49301").unwrap();
    world.now = world.now + Duration::from_secs(40);
    world.with(|b, cx| b.deadline(EntityId::Call(call(1)), cx));
    assert!(world.wants_resync);
    assert_eq!(world.names(), ["transfer"]);
    world.call_is_dumped(true, None);
    assert_eq!(world.names(), ["transfer", "break"]);
    world.parks_with(None);
    world.expect_notifications(&["call.transfer failed no_answer NO_ANSWER [t-1]"]);
}

#[test]
fn refused_transfer_leaves_the_call_parked() {
    let mut world = World::with_transfers();
    world.transfer("+49301").unwrap();
    let command = world.commands.pop().unwrap();
    let unknown = CommandError::Unknown;
    world.with(|b, cx| b.revert_command(&command, &unknown, cx));
    assert_eq!(world.word(), "transferring", "it may have been carried out");
    let refused = CommandError::Refused("no".to_owned());
    world.with(|b, cx| b.revert_command(&command, &refused, cx));
    assert_eq!(world.word(), "parked");
    world.expect_notifications(&["call.transfer failed failed NORMAL_TEMPORARY_FAILURE [t-1]"]);
    // Its plan runs nevertheless: the command was late.
    world.call_is_dumped(true, None);
    assert_eq!(world.names(), ["break"]);
}

#[test]
fn caller_that_hangs_up_is_reported_alone() {
    let mut world = World::with_transfers();
    world.transfer("+49301").unwrap();
    world.is_bridged();
    world.notifications.clear();
    let cause = "NORMAL_CLEARING".to_owned();
    world.channel(call(1), ChannelChange::HungUp { cause });
    assert_eq!(world.notifications.len(), 1, "{:?}", world.notifications);
    assert!(world.notifications[0].starts_with("call.hangup"));
}

#[test]
fn destinations_and_states_are_checked() {
    let mut world = World::with_transfers();
    assert_eq!(world.transfer("+1"), Err(Refusal::DestinationNotAllowed));
    assert_eq!(world.cancel_transfer(), Err(Refusal::NotTransferring));
}

#[test]
fn other_side_is_neither_a_call_nor_an_orphan() {
    let mut world = World::with_transfers();
    world.transfer("+49301").unwrap();
    world.channel(call(2), ChannelChange::Leg { over: false });
    let listed = ListedChannel {
        channel: call(2).channel(),
        identity: identity(None),
        parked: true,
        listens: false,
    };
    world.node_state.add_identities(&[listed]);
    assert_eq!(world.node_state.foreign_calls().1, 0);
    world.channel(call(2), ChannelChange::Leg { over: true });
    assert!(world.node_state.call(call(2)).is_none());
}
