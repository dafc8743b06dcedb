//! Judging connections by a clock that tests move.

use super::*;

const PATIENCE: Patience = Patience {
    handshake: Duration::from_secs(10),
    head: Duration::from_secs(10),
    idle: Duration::from_secs(60),
    send: Duration::from_secs(30),
};

#[test]
fn a_head_that_never_ends_is_dropped() {
    let connections = Connections::new(PATIENCE, Arc::default());
    let (watch, _open) = connections.open();
    watch.read();
    connections.sweep(10);
    assert_eq!(watch.order(), Order::Serve);
    connections.sweep(11);
    assert_eq!(watch.order(), Order::Drop);
}

#[test]
fn an_idle_connection_finishes_and_a_busy_one_does_not() {
    let connections = Connections::new(PATIENCE, Arc::default());
    let (watch, _open) = connections.open();
    let request = watch.begin(http::Version::HTTP_11);
    connections.sweep(1_000);
    assert_eq!(watch.order(), Order::Serve);
    drop(request);
    connections.sweep(1_060);
    assert_eq!(watch.order(), Order::Serve);
    connections.sweep(1_061);
    assert_eq!(watch.order(), Order::Finish);
}

#[test]
fn a_client_that_stops_reading_is_dropped_though_its_request_is_in_flight() {
    let connections = Connections::new(PATIENCE, Arc::default());
    let (watch, _open) = connections.open();
    let _request = watch.begin(http::Version::HTTP_11);
    watch.blocked();
    connections.sweep(30);
    assert_eq!(watch.order(), Order::Serve);
    watch.wrote(1);
    connections.sweep(100);
    assert_eq!(watch.order(), Order::Serve);
    watch.blocked();
    connections.sweep(131);
    assert_eq!(watch.order(), Order::Drop);
}

#[test]
fn a_client_that_takes_no_response_is_dropped_though_it_answers_pings() {
    let connections = Connections::new(PATIENCE, Arc::default());
    let (watch, _open) = connections.open();
    let _request = watch.begin(http::Version::HTTP_2);
    connections.sweep(100);
    let owed = watch.owe();
    connections.sweep(130);
    assert_eq!(watch.order(), Order::Serve);
    owed.taken();
    connections.sweep(500);
    assert_eq!(watch.order(), Order::Serve, "the backend is waited for");
    owed.ready();
    connections.sweep(520);
    watch.wrote(TAKEN_BYTES_MIN);
    connections.sweep(550);
    assert_eq!(watch.order(), Order::Serve, "a slow client");
    watch.wrote(17);
    connections.sweep(551);
    assert_eq!(watch.order(), Order::Drop);
}

#[test]
fn an_idle_connection_that_does_not_finish_is_dropped() {
    let connections = Connections::new(PATIENCE, Arc::default());
    let (watch, _open) = connections.open();
    drop(watch.begin(http::Version::HTTP_2));
    connections.sweep(61);
    assert_eq!(watch.order(), Order::Finish);
    connections.sweep(91);
    assert_eq!(watch.order(), Order::Drop);
}

#[test]
fn a_request_is_in_flight_until_its_response_and_its_body_are_through() {
    let connections = Connections::new(PATIENCE, Arc::default());
    let (watch, _open) = connections.open();
    let response = watch.begin(http::Version::HTTP_11);
    let body = watch.receive();
    drop(response);
    watch.read();
    connections.sweep(1_000);
    assert_eq!(watch.order(), Order::Serve, "its bytes are no head");
    drop(body);
    connections.sweep(1_061);
    assert_eq!(watch.order(), Order::Finish);
}

#[test]
fn a_client_that_sends_on_after_the_last_response_is_heard_for_a_while() {
    let connections = Connections::new(PATIENCE, Arc::default());
    let (watch, _open) = connections.open();
    watch.read();
    drop(watch.begin(http::Version::HTTP_11));
    assert!(!watch.is_unread(), "a request without a body");
    drop((watch.begin(http::Version::HTTP_11), watch.receive()));
    assert!(watch.is_unread(), "it may not have been read to its end");
    watch.lingers();
    connections.sweep(5);
    watch.lingers();
    connections.sweep(10);
    assert_eq!(watch.order(), Order::Serve);
    connections.sweep(11);
    assert_eq!(watch.order(), Order::Drop, "it is silent");

    let (watch, _open) = connections.open();
    watch.lingers();
    for second in 12..=41 {
        connections.sweep(second);
        watch.lingers();
        assert_eq!(watch.order(), Order::Serve, "{second}");
    }
    connections.sweep(42);
    assert_eq!(watch.order(), Order::Drop, "it goes on for ever");
}

#[test]
fn an_idle_connection_that_is_told_to_finish_waits_for_nobody() {
    let connections = Connections::new(PATIENCE, Arc::default());
    let (watch, _open) = connections.open();
    drop((watch.begin(http::Version::HTTP_11), watch.receive()));
    watch.tell(Order::Finish);
    assert!(!watch.is_unread());
}

#[test]
fn pings_between_requests_of_http2_begin_no_head() {
    let connections = Connections::new(PATIENCE, Arc::default());
    let (watch, _open) = connections.open();
    drop(watch.begin(http::Version::HTTP_2));
    watch.read();
    connections.sweep(30);
    assert_eq!(watch.order(), Order::Serve);
}

#[test]
fn connections_that_are_gone_are_forgotten() {
    let connections = Connections::new(PATIENCE, Arc::default());
    let (watch, open) = connections.open();
    assert_eq!(connections.count(), 1);
    drop((watch, open));
    connections.sweep(1);
    assert_eq!((connections.count(), connections.list.borrow().len()), (0, 0));
}

#[test]
fn what_ends_a_connection_is_counted_once() {
    let tally = Arc::new(CoreTally::default());
    let connections = Connections::new(PATIENCE, Arc::clone(&tally));
    let (slow_head, _open) = connections.open();
    slow_head.read();
    let (idle, _open) = connections.open();
    drop(idle.begin(http::Version::HTTP_11));
    let (not_reading, _open) = connections.open();
    let _request = not_reading.begin(http::Version::HTTP_11);
    not_reading.blocked();
    let (lingering, _open) = connections.open();
    lingering.lingers();
    for second in [31, 61, 1_000] {
        connections.sweep(second);
    }
    let counted = tally.bound_counts();
    for bound in [Bound::HeadTime, Bound::IdleTime, Bound::SendTime, Bound::LingerTime] {
        assert_eq!(counted[bound as usize], 1, "{bound:?}");
    }
    assert_eq!(counted.iter().sum::<u64>(), 4);
}

#[test]
fn a_handshake_has_a_time_of_its_own_and_a_request_comes_behind_it() {
    let patience = Patience { handshake: Duration::from_secs(3), ..PATIENCE };
    let connections = Connections::new(patience, Arc::default());
    let ((slow, _open), (fast, _other)) = (connections.open(), connections.open());
    slow.shake_hands();
    fast.shake_hands();
    slow.read();
    connections.sweep(3);
    assert_eq!(slow.order(), Order::Serve, "bytes are no reason to end it, nor to wait longer");
    fast.shook_hands();
    connections.sweep(4);
    assert_eq!((slow.order(), fast.order()), (Order::Drop, Order::Serve));
    connections.sweep(14);
    assert_eq!(fast.order(), Order::Drop, "its head is waited for from then on");
}

#[test]
fn a_connection_rests_once_it_has_been_idle_for_more_than_a_second() {
    let connections = Connections::new(PATIENCE, Arc::default());
    let (watch, _open) = connections.open();
    connections.sweep(5);
    assert!(!watch.takes_rest(), "it has not had a request");
    let request = watch.begin(http::Version::HTTP_11);
    connections.sweep(8);
    assert!(!watch.takes_rest(), "a request is in flight");
    drop(request);
    connections.sweep(9);
    assert!(!watch.takes_rest());
    connections.sweep(10);
    assert!(watch.takes_rest());
    connections.sweep(20);
    assert!(!watch.takes_rest(), "once for each time that it is idle");
    drop(watch.begin(http::Version::HTTP_11));
    connections.sweep(22);
    assert!(watch.takes_rest());
}

#[test]
fn what_is_not_certainly_idle_does_not_rest() {
    let connections = Connections::new(PATIENCE, Arc::default());
    let open: Vec<_> = (0..4).map(|_| connections.open()).collect();
    let [body, late, blocked, multiplexed] = [0, 1, 2, 3].map(|at: usize| &open[at].0);
    let request = body.begin(http::Version::HTTP_11);
    drop((request, body.receive()));
    drop(late.begin(http::Version::HTTP_11));
    late.read();
    drop(blocked.begin(http::Version::HTTP_11));
    blocked.blocked();
    drop(multiplexed.begin(http::Version::HTTP_2));
    connections.sweep(5);
    for (at, (watch, _)) in open.iter().enumerate() {
        assert!(!watch.takes_rest(), "{at}");
    }
}
