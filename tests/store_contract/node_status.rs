//! The status of a node: the operator's requests and the owner's status.

use super::*;
use roomkeeper::store::node_status::{NodeStatus, StatusField};

pub async fn unwritten_node_status_is_default(s: Subject) {
    assert_eq!(
        s.store.read_node_status(node()).await.unwrap(),
        NodeStatus::default()
    );
    assert_eq!(s.store.read_report(node()).await.unwrap(), None);
}

pub async fn draining_lasts_until_changed(s: Subject) {
    let drains = async |node| s.store.read_node_status(node).await.unwrap().draining;
    for draining in [true, true, false, false, true] {
        s.store.set_draining(node(), draining).await.unwrap();
        assert_eq!(drains(node()).await, draining);
        assert!(!drains(other_node()).await);
    }
    s.pass(A_WHILE).await;
    assert!(drains(node()).await);
}

pub async fn requested_snapshots_are_counted(s: Subject) {
    let ask = |_| s.store.request_resync(node());
    let requests = stream::iter(0..20).map(ask).buffer_unordered(20);
    requests
        .for_each(|request| async { request.unwrap() })
        .await;
    assert_eq!(s.store.read_node_status(node()).await.unwrap().resyncs, 20);
    let other = s.store.read_node_status(other_node()).await.unwrap();
    assert_eq!(other, NodeStatus::default());
}

pub async fn only_owner_writes_node_status(s: Subject) {
    let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let lease = s.lease(one, LONG).await;
    let put = async |lease, notice, text: &str| {
        let put = s.store.write_status(lease, notice, text);
        put.await.unwrap()
    };
    assert!(put(lease, StatusField::Owner, "stands").await);
    assert!(put(lease, StatusField::Orphans, "found {\"é\"}\n").await);
    s.store.set_draining(node(), true).await.unwrap();
    assert!(put(lease, StatusField::Owner, "in sync").await);
    let written = NodeStatus {
        draining: true,
        resyncs: 0,
        owner: Some("in sync".to_owned()),
    };
    assert_eq!(s.store.read_node_status(node()).await.unwrap(), written);
    let report = s.store.read_report(node()).await.unwrap();
    assert_eq!(report.as_deref(), Some("found {\"é\"}\n"));
    let strangers = [
        Lease {
            owner: two,
            ..lease
        },
        Lease {
            epoch: lease.epoch + 1,
            ..lease
        },
        Lease {
            node: other_node(),
            ..lease
        },
    ];
    for stranger in strangers {
        assert!(!put(stranger, StatusField::Owner, "falls").await);
        assert!(!put(stranger, StatusField::Orphans, "forged").await);
    }
    // The former owner cannot write any more; its last status stays.
    s.store.release_lease(lease).await.unwrap();
    assert!(!put(lease, StatusField::Orphans, "late").await);
    let next = s.lease(two, LONG).await;
    assert!(!put(lease, StatusField::Owner, "late").await);
    assert_eq!(s.store.read_node_status(node()).await.unwrap(), written);
    assert!(put(next, StatusField::Owner, "begins").await);
    let status = s.store.read_node_status(node()).await.unwrap();
    assert_eq!(status.owner.as_deref(), Some("begins"));
}

pub async fn expired_lease_writes_no_node_status(s: Subject) {
    let lease = s.lease(Uuid::from_u128(1), SHORT).await;
    s.pass(SHORT).await;
    let put = s.store.write_status(lease, StatusField::Orphans, "late");
    assert!(!put.await.unwrap());
    assert_eq!(s.store.read_report(node()).await.unwrap(), None);
}
