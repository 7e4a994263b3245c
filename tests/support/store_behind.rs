//! A macro that wraps a store, so that a test can make single methods fail, hang or panic.
//!
//! `store_behind!(roomkeeper, Gated)` implements the store for `Gated`, whose method
//! `async fn gate(&self, method: &'static str) -> Result<&MemoryStore, StoreError>` decides over each call by its name.
//! The first argument is the crate's name in the test: `crate` for unit tests.

macro_rules! store_behind {
    ($root:ident, $gated:ty) => {
        const _: () = {
            use std::time::Duration;

            use roomkeeper_core::ids::{AppId, EndpointId, NodeId, RoomId, RoomName};
            use $root::store::{AppsWrite, StoredApps};
            use $root::store::node_status::{NodeStatus, NodeStatusStore, StatusField};
            use $root::store::deliveries::{
                AttemptRecord, Backlog, ClaimedDelivery, Deliveries, Delivery, DeliveryResult,
                DeliveryStatus, EndpointHealth, FinishOutcome, LastError, NewDelivery, OutboxBatch, OutboxCursor,
                RecoverOutcome, Share,
            };
            use $root::store::limits::{IdempotentCommand, StoredAnswer, CommandStart, Cooldown, DialSlot, DialSlotOutcome, RequestLimits, Rate, Tokens};
            use $root::store::live::{LiveStream, Live, LiveEvent, OutboxSlice};
            use $root::store::contract::audit::{AuditLimits, AuditLog, AuditLogKind};
            use $root::store::polls::{NodePolls, NodePoll};
            use $root::store::usage::{NodeUsage, Usage};
            use $root::store::{
                Commit, CommitOutcome, EntityId, EntityKind, Lease, LeaseOutcome, ListEntry,
                ListOf, NameOutcome, NodeReader, Record, Store, StoreError, ViewEntry, ViewId,
                ViewKind,
            };
            use roomkeeper_core::time::Timestamp;
            use uuid::Uuid;

            store_behind! { @pass Store for $gated:
                ping() -> ();
                acquire_lease(node: NodeId, owner: Uuid, ttl: Duration) -> LeaseOutcome;
                release_lease(lease: Lease) -> ();
                read_apps(known: Option<u64>) -> Option<StoredApps>;
                put_apps(expected: u64, writes: &[AppsWrite<'_>]) -> bool;
                read(entity: EntityId) -> Option<Record>;
                read_head(entity: EntityId) -> Option<Record>;
                read_node(node: NodeId, reader: &mut dyn NodeReader) -> ();
                commit(commit: &Commit) -> CommitOutcome;
                due(node: NodeId, now: Timestamp, limit: usize) -> Vec<EntityId>;
                list(node: NodeId, kind: EntityKind, app: &AppId, after: Option<&str>, limit: usize) -> Vec<ListEntry>;
                list_all(node: NodeId, kind: EntityKind, after: Option<&str>, limit: usize) -> Vec<ListEntry>;
                read_views(node: NodeId, views: &[ViewId]) -> Vec<Option<String>>;
                list_views(node: NodeId, kind: ViewKind, of: ListOf<'_>, after: Option<&str>, limit: usize) -> Vec<ViewEntry>;
                reserve_name(app: &AppId, name: &RoomName, room: RoomId, ttl: Duration) -> NameOutcome;
                confirm_name(app: &AppId, name: &RoomName, room: RoomId) -> bool;
                free_name(app: &AppId, name: &RoomName, room: RoomId) -> ();
            }
            store_behind! { @pass RequestLimits for $gated:
                take_cooldown(about: EntityId, group: &str, holder: Uuid, window: Duration) -> Cooldown;
                refund_cooldown(about: EntityId, group: &str, holder: Uuid) -> ();
                begin_command(command: &IdempotentCommand, hold: Duration) -> CommandStart;
                finish_command(command: &IdempotentCommand, answer: &StoredAnswer, keep: Duration) -> bool;
                forget_command(command: &IdempotentCommand) -> ();
                take_tokens(app: &AppId, rate: Rate, want: u32) -> Tokens;
                take_dial_slot(app: &AppId, slot: DialSlot, most: u32, settled: Duration) -> DialSlotOutcome;
                free_dial_slots(app: &AppId, slots: &[DialSlot]) -> ();
            }
            store_behind! { @pass NodeStatusStore for $gated:
                read_node_status(node: NodeId) -> NodeStatus;
                set_draining(node: NodeId, draining: bool) -> ();
                request_resync(node: NodeId) -> ();
                write_status(lease: Lease, field: StatusField, text: &str) -> bool;
                read_report(node: NodeId) -> Option<String>;
            }
            store_behind! { @pass NodePolls for $gated:
                poll_nodes(nodes: &[NodeId], now: Timestamp) -> Vec<Result<NodePoll, StoreError>>;
            }
            store_behind! { @pass AuditLog for $gated:
                append_audit(log: AuditLogKind, entries: &[String], limits: AuditLimits) -> ();
                read_audit(log: AuditLogKind, from: &str, below: Option<&str>, limit: usize) -> Vec<String>;
            }
            store_behind! { @pass Usage for $gated:
                read_usage(node: NodeId) -> NodeUsage;
            }
            store_behind! { @pass Live for $gated:
                read_outbox_after(node: NodeId, position: Option<u64>, limit: usize) -> OutboxSlice;
                publish_live(node: NodeId, live: &[LiveEvent]) -> ();
                subscribe_live(nodes: &[NodeId]) -> LiveStream;
            }
            store_behind! { @pass Deliveries for $gated:
                read_outbox(node: NodeId, limit: usize) -> OutboxBatch;
                fan_out(node: NodeId, from: &OutboxCursor, to: &OutboxCursor, deliveries: &[NewDelivery]) -> bool;
                enqueue(node: NodeId, delivery: &NewDelivery) -> ();
                note_outbox(node: NodeId, missing: u64, unreadable: u64) -> ();
                claim_deliveries(node: NodeId, visibility: Duration, share: Share<'_>) -> Vec<ClaimedDelivery>;
                finish_delivery(node: NodeId, claim: &ClaimedDelivery, result: DeliveryResult, attempt: Option<&AttemptRecord>) -> Option<FinishOutcome>;
                next_delivery(node: NodeId) -> Option<Duration>;
                backlog(node: NodeId) -> Backlog;
                endpoint_health(node: NodeId, endpoints: &[EndpointId]) -> Vec<EndpointHealth>;
                last_errors(node: NodeId, endpoints: &[EndpointId]) -> Vec<Option<LastError>>;
                retry_endpoint(node: NodeId, endpoint: &EndpointId) -> ();
                list_deliveries(node: NodeId, endpoint: &EndpointId, status: DeliveryStatus, below: Option<&str>, limit: usize) -> Vec<Delivery>;
                read_delivery(node: NodeId, endpoint: &EndpointId, id: &str) -> Option<Delivery>;
                redeliver(node: NodeId, endpoint: &EndpointId, id: &str) -> bool;
                recover(node: NodeId, endpoint: &EndpointId, from: &str, limit: usize) -> RecoverOutcome;
                forget_endpoint(node: NodeId, endpoint: &EndpointId) -> u64;
            }
        };
    };
    (@pass $trait:ident for $gated:ty: $($name:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {
        #[async_trait::async_trait]
        impl $trait for $gated {
            $(
                async fn $name(&self, $($arg: $type),*) -> Result<$out, StoreError> {
                    $trait::$name(self.gate(stringify!($name)).await?, $($arg),*).await
                }
            )*
        }
    };
}
