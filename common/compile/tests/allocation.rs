//! Lookups allocate nothing. A binary of its own: it counts for the whole process.

mod fixture;

use std::{alloc::System, sync::Arc};

use fixture::ApiFixture;
use sluice_compile::{Captures, Changed, MapRows, Verb, compile};
use sluice_model::{Revision, part::LookupHash};
use sluice_proto::{
    model::{ApiStage, ThrottleSettings, UsagePlan},
    raft::KeyView,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn rows() -> MapRows {
    let mut api = ApiFixture::of_routes(1_100);
    api.add("/files/{rest+}", &["ANY"]);
    let mut rows = MapRows::default();
    rows.deploy(&api.entries(), &fixture::stage("prod", "d1"));
    let throttle = ThrottleSettings { rate_limit: Some(1.0), burst_limit: Some(1) };
    let on_method = [("/files/{rest+}/GET".to_owned(), throttle)].into();
    rows.put_plan(&UsagePlan {
        id: "plan1".into(),
        api_stages: vec![ApiStage { api_id: fixture::API.into(), stage: "prod".into(), throttle: on_method }],
        throttle: Some(throttle),
        ..UsagePlan::default()
    });
    rows.put_key(&KeyView {
        key_id: "key1".into(),
        hash: vec![1; 16].into(),
        enabled: true,
        plan_ids: vec!["plan1".into()],
        usage_identifier: String::new(),
    });
    rows
}

#[test]
fn routing_and_looking_up_a_key_allocate_nothing() {
    let (snapshot, broken) = compile(&rows(), Revision::new("g", 1), Changed::All, None);
    assert!(broken.is_empty(), "{broken:?}");
    let mut captures = Captures::new();
    let paths = ["/group7/sub7/42", "/group7/%73ub7/42/", "/files/a/b/c", "/group7/none/42", "/", "/files/"];
    let region = Region::new(ALLOCATOR);
    let (mut found, mut limits) = (0, 0);
    for path in paths {
        let unit = snapshot.stage(fixture::API, "prod").unwrap();
        let stage: &Arc<_> = unit.serving.as_ref().unwrap();
        let variant = stage.variant(|| 0.0);
        let Some(route) = stage.route(variant, Verb::Get, path, &mut captures) else { continue };
        found += captures.len();
        let key = snapshot.key(&LookupHash([1; 16])).unwrap();
        let plan = snapshot.plan_of(key, stage).unwrap();
        limits += usize::from(plan.throttle(key).is_some());
        limits += usize::from(plan.method_throttle(stage, &route, key).is_some());
    }
    let change = region.change();
    assert_eq!((change.allocations, change.reallocations, change.deallocations), (0, 0, 0));
    assert_eq!((found, limits), (3, 4));
}
