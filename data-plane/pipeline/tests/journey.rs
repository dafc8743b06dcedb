//! Phases against fakes: limits, snapshots and what is counted, without sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod fixture;
mod rig;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fixture::{Api, Board, Rows, limited_stage, mock, stage};
use http::{Request, StatusCode};
use rig::{HOST, Rig, on_a_core};
use sluice_compile::ThrottleId;
use sluice_integrate::FaultKind;
use sluice_pipeline::Bound;
use sluice_pipeline::limits::{Demands, Limits, Throttled};
use sluice_pipeline::tally::summarise;

const KEY: &str = "enabled-key-000000000";

fn pets() -> Api {
    Api::new("pets")
        .method("GET", "/pets", mock("200", "pets"))
        .keyed_method("GET", "/keyed", mock("200", "keyed"))
        .keyed_method("GET", "/other", mock("200", "other"))
}

#[test]
fn a_stage_limit_answers_429_as_aws_does_and_is_counted() {
    on_a_core(async || {
        let mut rows = Rows::default();
        rows.deploy(&pets(), limited_stage(0.001, 2));
        let rig = Rig::new(Board::of(&rows));
        assert_eq!([rig.status("/dev/pets", None).await, rig.status("/dev/pets", None).await], [200, 200]);
        let refused = rig.get("/dev/pets", None).await;
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.headers()["x-amzn-errortype"], "TooManyRequestsException");
        assert!(!refused.headers().contains_key("retry-after"));
        drop(refused);
        assert_eq!(rig.endings(), [0, 2, 0, 1, 0, 0]);
        assert_eq!(rig.tally.throttled_counts(), [0, 1, 0]);
    });
}

#[test]
fn each_method_has_its_own_bucket_of_the_stage_limit() {
    on_a_core(async || {
        let mut rows = Rows::default();
        rows.deploy(&pets(), limited_stage(0.001, 1)).plan("plan", &[("pets", "dev")], None);
        rows.key("k1", KEY, true, &["plan"]);
        let rig = Rig::new(Board::of(&rows));
        assert_eq!([rig.status("/dev/pets", None).await, rig.status("/dev/pets", None).await], [200, 429]);
        assert_eq!(rig.status("/dev/keyed", Some(KEY)).await, 200);
    });
}

#[test]
fn a_plan_counts_a_key_over_all_methods_and_not_where_no_key_is_needed() {
    on_a_core(async || {
        let mut rows = Rows::default();
        rows.deploy(&pets(), stage()).plan("plan", &[("pets", "dev")], Some((0.001, 2)));
        rows.key("k1", KEY, true, &["plan"]);
        let rig = Rig::new(Board::of(&rows));
        assert_eq!([rig.status("/dev/keyed", Some(KEY)).await, rig.status("/dev/other", Some(KEY)).await], [200, 200]);
        assert_eq!(rig.status("/dev/keyed", Some(KEY)).await, 429);
        assert_eq!(rig.status("/dev/pets", Some(KEY)).await, 200);
        assert_eq!(rig.tally.throttled_counts(), [1, 0, 0]);
    });
}

#[test]
fn a_bucket_stays_as_it_was_when_the_configuration_changes() {
    on_a_core(async || {
        let mut rows = Rows::default();
        rows.deploy(&pets(), limited_stage(0.001, 1));
        let board = Board::of(&rows);
        let rig = Rig::new(Arc::clone(&board));
        assert_eq!(rig.status("/dev/pets", None).await, 200);
        board.put(rows.serve(2));
        assert_eq!(rig.status("/dev/pets", None).await, 429);
    });
}

type Log = Rc<RefCell<Vec<(&'static str, Vec<ThrottleId>)>>>;

/// Remembers what was taken and given back; refuses what it is told to.
#[derive(Default)]
struct Script {
    log: Log,
    refuse_call: Option<usize>,
}

impl Limits for Script {
    fn take(&self, _: Instant, demands: &Demands) -> Result<(), Throttled> {
        let ids: Vec<_> = demands.iter().map(|demand| demand.id).collect();
        let calls = self.log.borrow().iter().filter(|(what, _)| *what == "take").count();
        self.log.borrow_mut().push(("take", ids));
        if self.refuse_call == Some(calls) { Err(Throttled(ThrottleId(0))) } else { Ok(()) }
    }

    fn give_back(&self, demands: &Demands) {
        self.log.borrow_mut().push(("give back", demands.iter().map(|demand| demand.id).collect()));
    }
}

#[test]
fn a_wrong_key_and_a_refusing_plan_give_the_stage_its_token_back() {
    on_a_core(async || {
        let mut rows = Rows::default();
        rows.deploy(&pets(), limited_stage(10.0, 10)).plan("plan", &[("pets", "dev")], Some((1.0, 1)));
        rows.key("k1", KEY, true, &["plan"]);
        for (key, refuse_call, expect) in [("wrong-key-000000000000", None, 403), (KEY, Some(1), 429)] {
            let script = Script { refuse_call, ..Script::default() };
            let log = Rc::clone(&script.log);
            let rig = Rig::with(Board::of(&rows), Box::new(script));
            assert_eq!(rig.status("/dev/keyed", Some(key)).await, expect);
            let log = log.borrow();
            let (taken, last) = (&log[0], &log[log.len() - 1]);
            assert_eq!((last.0, &last.1), ("give back", &taken.1), "{log:?}");
            assert_eq!(taken.1.len(), 1);
        }
    });
}

/// A defect of this program.
struct Defect;

impl Limits for Defect {
    fn take(&self, _: Instant, demands: &Demands) -> Result<(), Throttled> {
        assert!(demands.iter().next().is_none(), "a defect that this test wants");
        Ok(())
    }

    fn give_back(&self, _: &Demands) {}
}

#[test]
fn a_panic_costs_one_500_and_is_counted() {
    on_a_core(async || {
        let mut rows = Rows::default();
        rows.deploy(&pets(), limited_stage(10.0, 10)).deploy(&Api::new("other"), stage());
        let rig = Rig::with(Board::of(&rows), Box::new(Defect));
        let response = rig.get("/dev/pets", None).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()["x-amzn-errortype"], "InternalServerErrorException");
        drop(response);
        assert_eq!((rig.tally.panics.get(), rig.endings()), (1, [0, 0, 0, 0, 1, 0]));
        assert_eq!(rig.status("/dev/nothing", None).await, 403);
    });
}

#[test]
fn a_node_without_a_configuration_says_so() {
    on_a_core(async || {
        let board = Arc::new(Board::default());
        let rig = Rig::new(Arc::clone(&board));
        assert_eq!(rig.status("/dev/pets", None).await, 503);
        let mut rows = Rows::default();
        board.put(rows.deploy(&pets(), stage()).serve(1));
        assert_eq!(rig.status("/dev/pets", None).await, 200);
    });
}

#[test]
fn a_response_is_counted_when_its_body_is_dropped() {
    on_a_core(async || {
        let mut rows = Rows::default();
        let rig = Rig::new(Board::of(rows.deploy(&pets(), stage())));
        let response = rig.get("/dev/pets", None).await;
        assert_eq!(rig.endings(), [0; 6]);
        drop(response);
        assert_eq!(rig.endings(), [0, 1, 0, 0, 0, 0]);
    });
}

/// Limits that let everything in, and take their time.
struct Slow(Duration);

impl Limits for Slow {
    fn take(&self, _: Instant, _: &Demands) -> Result<(), Throttled> {
        let began = Instant::now();
        while began.elapsed() < self.0 {
            std::hint::spin_loop();
        }
        Ok(())
    }

    fn give_back(&self, _: &Demands) {}
}

#[test]
fn the_time_of_an_integration_begins_with_its_call() {
    on_a_core(async || {
        let mut rows = Rows::default();
        rows.deploy(&pets(), stage());
        let before_the_call = Duration::from_millis(2);
        let rig = Rig::with(Board::of(&rows), Box::new(Slow(before_the_call)));
        assert_eq!(rig.status("/dev/pets", None).await, 200);
        let sums = summarise([&rig.tally]);
        let sum = &sums[&Some(("pets".into(), "dev".into()))];
        assert_eq!((sum.latency.count(), sum.integration.count()), (1, 1));
        let outside = Duration::from_nanos(sum.latency.sum_ns - sum.integration.sum_ns);
        assert!(outside >= before_the_call, "{outside:?} of the request are not the integration's");
    });
}

#[test]
fn calls_that_fail_are_counted_by_what_went_wrong() {
    on_a_core(async || {
        let mut rows = Rows::default();
        let rig = Rig::new(Board::of(rows.deploy(&pets(), stage())));
        let request = Request::get("/dev/pets").header("host", HOST).header("content-type", "text/plain");
        assert_eq!(rig.status_of(request).await, 415);
        rig.refresh();
        let counted = rig.tally.fault_counts();
        assert_eq!(counted[FaultKind::UnsupportedMediaType as usize], 1);
        assert_eq!(counted.iter().sum::<u64>(), 1);
    });
}

#[test]
fn a_body_that_is_announced_too_large_is_refused_unread() {
    on_a_core(async || {
        let mut rows = Rows::default();
        let rig = Rig::new(Board::of(rows.deploy(&pets(), stage())));
        let too_large = sluice_integrate::Fault::before_sending(sluice_integrate::FaultKind::BodyTooLarge, "");
        let response = rig.send(Request::post("/dev/pets").header("host", HOST), Err(too_large)).await;
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(response.headers()["x-amzn-errortype"], "RequestTooLargeException");
        assert_eq!(rig.tally.bound_counts()[Bound::BodyBytes as usize], 1);
    });
}

#[test]
fn header_values_and_the_target_have_10240_bytes_each() {
    on_a_core(async || {
        let mut rows = Rows::default();
        let rig = Rig::new(Board::of(rows.deploy(&pets(), stage())));
        let path = "/dev/pets?";
        let (values, target) = (10_240 - HOST.len(), 10_240 - path.len());
        let cases = [
            ("AWS, REST APIs: header values, not their names nor the request line", values, target, 200),
            ("AWS, REST APIs: header values", values + 1, 0, 431),
            ("AWS, REST APIs: length of the URL", 0, target + 1, 414),
        ];
        for (what, value_bytes, query_bytes, expect) in cases {
            let target = format!("{path}{}", "q".repeat(query_bytes));
            let request = Request::get(target).header("host", HOST).header("x-big", "b".repeat(value_bytes));
            assert_eq!(rig.status_of(request).await, expect, "{what}");
        }
        assert_eq!(rig.tally.bound_counts()[Bound::HeadBytes as usize], 2);
    });
}
