//! What a data node is told.

use std::time::Duration;

use sluice_model::limits;
use sluice_proto::{
    model::Revision,
    raft::Table,
    sync::{Hello, from_control::Kind, from_data},
};
use tonic::Code;

use crate::{
    Source,
    testing::{Cluster, DataNode, Moved, plan, put, quick},
    timing::Timing,
};

#[tokio::test]
async fn a_node_that_holds_nothing_gets_a_snapshot_and_then_deltas() {
    let mut cluster = Cluster::start(1, quick());
    cluster.change("p1");
    let mut node = DataNode::connect(&cluster, &cluster.servers[0], "d1", None).await;
    let welcome = node.welcomed().await;
    assert_eq!((welcome.level, welcome.lookup_key.len()), (1, 32));
    assert!(matches!(node.moved().await, Moved::BySnapshot { .. }));
    assert_eq!((node.number(), node.rows.len()), (1, 1));
    node.applied().await;
    cluster.change("p2");
    assert_eq!(node.moved().await, Moved::ByDelta { messages: 1 });
    assert_eq!((node.number(), node.rows.len()), (2, 2));
}

#[tokio::test]
async fn an_empty_cluster_is_a_configuration_too() {
    let cluster = Cluster::start(1, quick());
    let node = DataNode::serving(&cluster, &cluster.servers[0], "d1").await;
    assert_eq!((node.number(), node.rows.len()), (0, 0));
}

#[tokio::test]
async fn one_delta_is_in_flight_and_the_next_spans_all_that_happened_meanwhile() {
    let mut cluster = Cluster::start(1, quick());
    let mut node = DataNode::serving(&cluster, &cluster.servers[0], "d1").await;
    cluster.change("p1");
    node.moved().await;
    for id in ["p2", "p3", "p4"] {
        cluster.change(id);
    }
    // Were another delta sent, it would begin at what is not yet answered, and the copy would say so.
    node.applied().await;
    assert_eq!(node.moved().await, Moved::ByDelta { messages: 1 });
    assert_eq!(node.number(), 4);
}

#[tokio::test]
async fn a_node_that_comes_back_gets_what_it_missed() {
    let mut cluster = Cluster::start(2, quick());
    cluster.change("p1");
    let mut node = DataNode::serving(&cluster, &cluster.servers[0], "d1").await;
    let rows = std::mem::take(&mut node.rows);
    let held = node.revision.take();
    drop(node);
    cluster.change("p2");
    let mut node = DataNode::connect(&cluster, &cluster.servers[1], "d1", held).await;
    node.rows = rows;
    node.welcomed().await;
    node.applied().await;
    assert_eq!(node.moved().await, Moved::ByDelta { messages: 1 });
    assert_eq!(node.number(), 2);
}

#[tokio::test]
async fn large_changes_come_in_chunks_that_are_swapped_in_together() {
    let mut cluster = Cluster::start(1, quick());
    let mut node = DataNode::serving(&cluster, &cluster.servers[0], "d1").await;
    cluster.change("first");
    node.moved().await;
    for id in ["p1", "p2", "p3"] {
        cluster.apply(plan(id, &vec![7; limits::STREAM_CHUNK_BYTES_MAX * 3 / 4]));
    }
    node.applied().await;
    assert_eq!(node.moved().await, Moved::ByDelta { messages: 3 });
    let mut other = DataNode::connect(&cluster, &cluster.servers[0], "d2", None).await;
    other.welcomed().await;
    assert_eq!(other.moved().await, Moved::BySnapshot { messages: 5 });
    assert_eq!(other.rows, node.rows);
}

#[tokio::test]
async fn a_change_too_large_for_a_delta_comes_as_a_snapshot_in_chunks() {
    let mut cluster = Cluster::start(1, quick());
    let mut node = DataNode::serving(&cluster, &cluster.servers[0], "d1").await;
    cluster.change("first");
    node.moved().await;
    let rows = limits::DELTA_BYTES_MAX / (limits::STREAM_CHUNK_BYTES_MAX / 2);
    for id in 0..rows {
        cluster.apply(plan(&format!("p{id}"), &vec![7; limits::STREAM_CHUNK_BYTES_MAX / 2]));
    }
    node.applied().await;
    assert!(matches!(node.moved().await, Moved::BySnapshot { messages } if messages > 16));
    assert_eq!((node.rows.len(), node.number()), (rows + 1, rows as u64 + 1));
    node.applied().await;
    cluster.change("next");
    assert_eq!(node.moved().await, Moved::ByDelta { messages: 1 });
}

#[tokio::test]
async fn a_snapshot_is_of_one_moment_whatever_is_committed_while_it_is_sent() {
    let mut cluster = Cluster::start(1, quick());
    for id in 0..12 {
        cluster.apply(plan(&format!("p{id}"), &vec![7; limits::STREAM_CHUNK_BYTES_MAX / 2]));
    }
    let mut node = DataNode::connect(&cluster, &cluster.servers[0], "d1", None).await;
    node.welcomed().await;
    let Ok(Kind::SnapshotStart(start)) = node.next().await else { panic!("expected a snapshot") };
    cluster.change("late");
    // The rest is read as of another snapshot's beginning: only its rows and digest must agree.
    let mut rows = 0;
    let end = loop {
        match node.next().await.unwrap() {
            Kind::SnapshotRows(chunk) => rows += chunk.rows.len() as u64,
            Kind::SnapshotEnd(end) => break end,
            other => panic!("expected rows, found {other:?}"),
        }
    };
    assert_eq!((end.revision, end.rows, rows), (start.revision, 12, 12));
}

#[tokio::test]
async fn a_node_that_waits_for_its_turn_hears_beats() {
    let timing = Timing { beat_every: Duration::from_millis(10), ..quick() };
    let mut cluster = Cluster::start(1, timing);
    for id in 0..12 {
        cluster.apply(plan(&format!("p{id}"), &vec![7; limits::STREAM_CHUNK_BYTES_MAX / 2]));
    }
    // As many as are served at once, and they do not read on.
    let mut slow = Vec::new();
    for id in ["d1", "d2", "d3", "d4"] {
        let mut node = DataNode::connect(&cluster, &cluster.servers[0], id, None).await;
        node.welcomed().await;
        assert!(matches!(node.next().await, Ok(Kind::SnapshotStart(_))));
        slow.push(node);
    }
    let mut waits = DataNode::connect(&cluster, &cluster.servers[0], "d5", None).await;
    waits.welcomed().await;
    for _ in 0..3 {
        assert!(waits.beaten().await);
    }
    let counted = cluster.metrics.render();
    assert!(counted.contains("sluice_bounds_hit_total{kind=\"snapshots\"} 1"), "{counted}");
    drop(slow);
    assert!(matches!(waits.moved().await, Moved::BySnapshot { .. }));
}

#[tokio::test]
async fn data_nodes_that_read_too_slowly_lose_their_turn() {
    let timing = Timing { snapshot_max: Duration::from_millis(100), beat_every: Duration::from_millis(10), ..quick() };
    let mut cluster = Cluster::start(1, timing);
    for id in 0..12 {
        cluster.apply(plan(&format!("p{id}"), &vec![7; limits::STREAM_CHUNK_BYTES_MAX / 2]));
    }
    let mut slow = Vec::new();
    for id in ["d1", "d2", "d3", "d4"] {
        let mut node = DataNode::connect(&cluster, &cluster.servers[0], id, None).await;
        node.welcomed().await;
        slow.push(node);
    }
    // They never read on, and none of them leaves.
    let mut waits = DataNode::connect(&cluster, &cluster.servers[0], "d5", None).await;
    waits.welcomed().await;
    assert!(matches!(waits.moved().await, Moved::BySnapshot { .. }));
    drop(slow);
}

#[tokio::test]
async fn a_data_node_has_few_streams_and_the_oldest_ends() {
    let cluster = Cluster::start(1, quick());
    let mut first = DataNode::serving(&cluster, &cluster.servers[0], "d1").await;
    let _second = DataNode::serving(&cluster, &cluster.servers[0], "d1").await;
    let _third = DataNode::serving(&cluster, &cluster.servers[0], "d1").await;
    assert_eq!(first.next().await.unwrap_err().unwrap().code(), Code::Aborted);
}

#[tokio::test]
async fn another_generation_is_taken_only_whole() {
    let mut cluster = Cluster::start(1, quick());
    cluster.change("p1");
    let other = |number| Some(Revision { generation: "another".to_owned(), number });
    let mut node = DataNode::connect(&cluster, &cluster.servers[0], "d1", other(1)).await;
    node.welcomed().await;
    assert!(matches!(node.moved().await, Moved::BySnapshot { .. }));
    assert_eq!(node.revision, Some(cluster.revision(1)));
    // A restore goes on from the number it finds: what is ahead in another generation has seen one that is not here yet.
    let mut ahead = DataNode::connect(&cluster, &cluster.servers[0], "d2", other(2)).await;
    assert!(matches!(ahead.next().await, Ok(Kind::Behind(_))));
}

#[tokio::test]
async fn a_control_node_that_is_behind_says_so_after_it_has_waited() {
    let mut cluster = Cluster::start(2, quick());
    cluster.apply_on(&[1], plan("p1", b"1"));
    let held = Some(cluster.revision(1));
    let mut node = DataNode::connect(&cluster, &cluster.servers[1], "d1", held).await;
    let Ok(Kind::Behind(behind)) = node.next().await else { panic!("expected behind") };
    assert_eq!(behind.revision, Some(cluster.revision(0)));
    assert!(node.next().await.is_err(), "the stream ends");
    assert!(cluster.fleets[1].nodes().is_empty(), "it was never a session");
}

#[tokio::test]
async fn a_control_node_that_catches_up_in_time_is_not_behind() {
    let timing = Timing { behind_max: Duration::from_secs(60), ..quick() };
    let mut cluster = Cluster::start(2, timing);
    cluster.apply_on(&[1], plan("p1", b"1"));
    let held = Some(cluster.revision(1));
    let mut node = DataNode::connect(&cluster, &cluster.servers[1], "d1", held).await;
    cluster.apply_on(&[2], plan("p1", b"1"));
    node.welcomed().await;
}

#[tokio::test]
async fn a_node_that_asks_gets_everything_again_and_again() {
    let mut cluster = Cluster::start(1, quick());
    cluster.change("p1");
    let mut node = DataNode::serving(&cluster, &cluster.servers[0], "d1").await;
    for _ in 0..3 {
        node.resync().await;
        assert!(matches!(node.moved().await, Moved::BySnapshot { .. }));
        assert_eq!(node.rows.len(), 1);
    }
    node.applied().await;
    cluster.change("p2");
    assert!(matches!(node.moved().await, Moved::ByDelta { .. }));
}

#[tokio::test]
async fn a_node_whose_digest_differs_gets_everything() {
    let mut cluster = Cluster::start(1, quick());
    cluster.change("p1");
    let mut node = DataNode::serving(&cluster, &cluster.servers[0], "d1").await;
    node.beat(node.digest().to_bytes()).await;
    node.beat([9; 16]).await;
    assert!(matches!(node.moved().await, Moved::BySnapshot { .. }));
}

#[tokio::test]
async fn one_wrong_row_costs_its_table_and_no_other() {
    let mut cluster = Cluster::start(1, quick());
    cluster.change("p1");
    cluster.apply(put(Table::Setting, "s1", b"s"));
    cluster.apply(put(Table::Domain, "d1", b"d"));
    let mut node = DataNode::serving(&cluster, &cluster.servers[0], "d1").await;
    let right = node.rows.clone();
    let row_of = |table: Table| right.keys().find(|(of, _)| *of == table as i32).unwrap().clone();
    node.rows.insert(row_of(Table::Setting), b"flipped".to_vec());
    node.is_wrong = true;
    node.beat_by_table().await;
    assert!(matches!(node.moved().await, Moved::BySnapshot { .. }));
    assert_eq!((node.resent.as_slice(), &node.rows), (&[Table::Setting as i32][..], &right));
    node.applied().await;

    // A row that is missing shows when the next delta does not come out right; what has changed since is sent too.
    node.rows.remove(&row_of(Table::Domain));
    cluster.change("p2");
    assert!(matches!(node.next().await.unwrap(), Kind::Delta(_)));
    node.resync_by_table().await;
    assert!(matches!(node.moved().await, Moved::BySnapshot { .. }));
    assert_eq!(node.resent, [Table::Plan as i32, Table::Domain as i32]);
    assert_eq!((node.rows.len(), node.number()), (4, 4));
}

#[tokio::test]
async fn no_stream_is_served_before_the_first_read_index() {
    let timing = Timing { gate_max: Duration::from_millis(50), ..quick() };
    let cluster = Cluster::found(1, timing);
    let mut node = DataNode::connect(&cluster, &cluster.servers[0], "d1", None).await;
    assert_eq!(node.next().await.unwrap_err().unwrap().code(), Code::Unavailable);
    cluster.nodes[0].catch_up();
    let timing = Timing { gate_max: Duration::from_secs(20), ..quick() };
    let cluster = Cluster::found(1, timing);
    let mut node = DataNode::connect(&cluster, &cluster.servers[0], "d1", None).await;
    cluster.nodes[0].catch_up();
    node.welcomed().await;
}

#[tokio::test]
async fn a_stream_begins_with_the_hello_of_its_own_node_and_cluster() {
    let cluster = Cluster::start(1, quick());
    let cluster_id = cluster.nodes[0].view().cluster().unwrap().cluster_id;
    let cases = [
        (
            Hello { node_id: "d2".to_owned(), cluster_id: cluster_id.clone(), ..Hello::default() },
            Code::PermissionDenied,
        ),
        (Hello { node_id: "d1".to_owned(), cluster_id: "c9".to_owned(), ..Hello::default() }, Code::FailedPrecondition),
    ];
    for (hello, code) in cases {
        let mut node = DataNode::open(&cluster.servers[0], "d1", cluster_id.clone());
        node.say(from_data::Kind::Hello(hello)).await;
        assert_eq!(node.next().await.unwrap_err().unwrap().code(), code);
    }
    let mut node = DataNode::open(&cluster.servers[0], "d1", cluster_id);
    node.resync().await;
    assert_eq!(node.next().await.unwrap_err().unwrap().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_silent_node_is_dropped() {
    let timing = Timing { silence_max: Duration::from_millis(50), ..quick() };
    let cluster = Cluster::start(1, timing);
    let mut node = DataNode::serving(&cluster, &cluster.servers[0], "d1").await;
    assert_eq!(node.next().await.unwrap_err().unwrap().code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_control_node_that_stops_sends_its_nodes_elsewhere() {
    let cluster = Cluster::start(1, quick());
    let mut node = DataNode::serving(&cluster, &cluster.servers[0], "d1").await;
    cluster.fleets[0].stop().await;
    assert_eq!(node.next().await.unwrap_err().unwrap().code(), Code::Unavailable);
}

#[tokio::test]
async fn the_streams_of_a_control_node_end_with_its_last_handle() {
    let mut cluster = Cluster::start(1, quick());
    let mut node = DataNode::serving(&cluster, &cluster.servers[0], "d1").await;
    cluster.forget_fleets();
    assert_eq!(node.next().await.unwrap_err().unwrap().code(), Code::Unavailable);
}
