//! The places of each app for dial-outs.

use super::*;
use roomkeeper::store::limits::{DialSlot, DialSlotOutcome};

fn slot(n: u128) -> DialSlot {
    DialSlot {
        room: room_id(1),
        id: CallId::new(node(), ChannelId::new(Uuid::from_u128(n))),
    }
}

impl Subject {
    async fn take_slot(&self, app: &AppId, n: u128, settled: Duration) -> DialSlotOutcome {
        let taken = self.store.take_dial_slot(app, slot(n), 2, settled);
        taken.await.unwrap()
    }
}

const NONE_SETTLED: DialSlotOutcome = DialSlotOutcome::Full {
    settled: Vec::new(),
};

pub async fn dial_slots_of_an_app_are_limited(s: Subject) {
    for n in [1, 2] {
        assert_eq!(s.take_slot(&app(), n, LONG).await, DialSlotOutcome::Taken);
    }
    assert_eq!(s.take_slot(&app(), 3, LONG).await, NONE_SETTLED);
    s.store.free_dial_slots(&app(), &[slot(1)]).await.unwrap();
    assert_eq!(s.take_slot(&app(), 3, LONG).await, DialSlotOutcome::Taken);
    assert_eq!(s.take_slot(&app(), 1, LONG).await, NONE_SETTLED);
}

/// A request whose answer was lost is sent again.
pub async fn dial_slot_taken_again_counts_once(s: Subject) {
    for n in [1, 1, 2, 1, 2] {
        assert_eq!(s.take_slot(&app(), n, LONG).await, DialSlotOutcome::Taken);
    }
    assert_eq!(s.take_slot(&app(), 3, LONG).await, NONE_SETTLED);
}

pub async fn dial_slots_of_apps_are_independent(s: Subject) {
    let other: AppId = "other".parse().unwrap();
    for app in [&app(), &other] {
        for n in [1, 2] {
            assert_eq!(s.take_slot(app, n, LONG).await, DialSlotOutcome::Taken);
        }
        assert_eq!(s.take_slot(app, 3, LONG).await, NONE_SETTLED);
    }
    // Places that another app has, or nobody, are not freed.
    let gone = [slot(1), slot(2), slot(9)];
    s.store.free_dial_slots(&other, &gone).await.unwrap();
    assert_eq!(s.take_slot(&other, 3, LONG).await, DialSlotOutcome::Taken);
    assert_eq!(s.take_slot(&app(), 3, LONG).await, NONE_SETTLED);
}

pub async fn only_settled_dial_slots_are_offered(s: Subject) {
    for n in [1, 2] {
        assert_eq!(s.take_slot(&app(), n, LONG).await, DialSlotOutcome::Taken);
    }
    s.pass(SHORT).await;
    let DialSlotOutcome::Full { mut settled } = s.take_slot(&app(), 3, SHORT).await else {
        panic!("a third place was taken");
    };
    settled.sort();
    assert_eq!(settled, [slot(1), slot(2)]);
    assert_eq!(s.take_slot(&app(), 3, LONG).await, NONE_SETTLED);
}
