//! The board of a node: what the operator wants of it, and what its owner says of it.

use super::*;
use roomkeeper::store::board::{Board, Notice};

pub async fn a_board_that_nobody_wrote_on_is_empty(s: Subject) {
    assert_eq!(s.store.read_board(node()).await.unwrap(), Board::default());
    assert_eq!(s.store.read_report(node()).await.unwrap(), None);
}

pub async fn a_node_drains_until_it_is_said_otherwise(s: Subject) {
    let drains = async |node| s.store.read_board(node).await.unwrap().draining;
    for draining in [true, true, false, false, true] {
        s.store.set_draining(node(), draining).await.unwrap();
        assert_eq!(drains(node()).await, draining);
        assert!(!drains(other_node()).await);
    }
    s.pass(A_WHILE).await;
    assert!(drains(node()).await);
}

pub async fn snapshots_that_are_asked_for_are_counted(s: Subject) {
    let ask = |_| s.store.ask_resync(node());
    let asked = stream::iter(0..20).map(ask).buffer_unordered(20);
    asked.for_each(|asked| async { asked.unwrap() }).await;
    assert_eq!(s.store.read_board(node()).await.unwrap().resyncs, 20);
    let other = s.store.read_board(other_node()).await.unwrap();
    assert_eq!(other, Board::default());
}

pub async fn only_the_owner_writes_what_it_says_of_a_node(s: Subject) {
    let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let lease = s.lease(one, LONG).await;
    let put = async |lease, notice, text: &str| {
        let put = s.store.put_notice(lease, notice, text);
        put.await.unwrap()
    };
    assert!(put(lease, Notice::Standing, "stands").await);
    assert!(put(lease, Notice::Report, "found {\"é\"}\n").await);
    s.store.set_draining(node(), true).await.unwrap();
    assert!(put(lease, Notice::Standing, "stands well").await);
    let written = Board {
        draining: true,
        resyncs: 0,
        standing: Some("stands well".to_owned()),
    };
    assert_eq!(s.store.read_board(node()).await.unwrap(), written);
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
        assert!(!put(stranger, Notice::Standing, "falls").await);
        assert!(!put(stranger, Notice::Report, "lies").await);
    }
    // Whoever had the lease has it no more; what it said stays.
    s.store.release_lease(lease).await.unwrap();
    assert!(!put(lease, Notice::Report, "late").await);
    let next = s.lease(two, LONG).await;
    assert!(!put(lease, Notice::Standing, "late").await);
    assert_eq!(s.store.read_board(node()).await.unwrap(), written);
    assert!(put(next, Notice::Standing, "begins").await);
    let board = s.store.read_board(node()).await.unwrap();
    assert_eq!(board.standing.as_deref(), Some("begins"));
}

pub async fn a_lease_that_ran_out_writes_nothing_on_the_board(s: Subject) {
    let lease = s.lease(Uuid::from_u128(1), SHORT).await;
    s.pass(SHORT).await;
    let put = s.store.put_notice(lease, Notice::Report, "late");
    assert!(!put.await.unwrap());
    assert_eq!(s.store.read_report(node()).await.unwrap(), None);
}
