//! Rows as they come to a data node: any bytes compile to a snapshot that can be asked, and a change leads to the same
//! snapshot as a beginning.
//!
//! An input is an encoded `Delta` of rows, and behind it another one that changes them.

use std::sync::Arc;

use prost::Message;
use sluice_compile::{Broken, Captures, Changed, MapRows, RowChange, Rows, Snapshot, Verb, compile};
use sluice_model::{Digest, Revision};
use sluice_proto::{
    model::{Integration, Method, Resource, RestApi, Stage, ThrottleSettings, UsagePlan},
    raft::{KeyView, Table},
    sync::{Delta, Row, Tombstone},
};

use crate::Target;

const API: &str = "abcdef1234";
const VISIBLE: [Table; 6] = [Table::Stage, Table::Deployment, Table::Part, Table::Content, Table::Plan, Table::KeyView];

/// The target.
pub const TARGET: Target = Target { name: "rows", run, seeds, words: &[API, "prod", "d1", "GET", "/pets/{id}"] };

/// Compiles the first rows, then the change, then all anew.
///
/// # Panics
/// When a promise of compiling is broken.
pub fn run(input: &[u8]) {
    let mut rest = input;
    let deltas = [(); 2].map(|()| Delta::decode_length_delimited(&mut rest).unwrap_or_default());
    let mut rows = MapRows::default();
    take(&mut rows, &deltas[0]);
    let (first, _) = compiled(&rows, 1, Changed::All, None);
    let changes = take(&mut rows, &deltas[1]);
    let (changed, broken) = compiled(&rows, 2, Changed::Rows(changes), Some(&first));
    let (anew, broken_anew) = compiled(&rows, 2, Changed::All, None);
    assert_eq!(broken, broken_anew, "what is broken does not depend on what was served before");
    for (key, _) in rows.rows(Table::Stage) {
        let Some((api, stage)) = std::str::from_utf8(key).ok().and_then(|key| key.split_once('/')) else { continue };
        let serves = |snapshot: &Snapshot| snapshot.stage(api, stage).map(|unit| unit.serving.is_some());
        // Only what was served before can be kept on.
        assert!(serves(&changed) >= serves(&anew), "{api}/{stage}: {:?} and {:?}", serves(&changed), serves(&anew));
    }
}

/// The snapshot, and the ids of what is broken in it.
fn compiled(
    rows: &MapRows,
    number: u64,
    changed: Changed,
    previous: Option<&Arc<Snapshot>>,
) -> (Arc<Snapshot>, Vec<String>) {
    let (snapshot, broken) = compile(rows, Revision::new("g", number), changed, previous);
    for (key, _) in rows.rows(Table::Stage) {
        asked(&snapshot, key);
    }
    let ids = |broken: Vec<Broken>| broken.into_iter().map(|one| one.api_id).collect();
    (Arc::new(snapshot), ids(broken))
}

fn asked(snapshot: &Snapshot, key: &[u8]) {
    let Some((api, stage)) = std::str::from_utf8(key).ok().and_then(|key| key.split_once('/')) else { return };
    let Some(serving) = snapshot.stage(api, stage).and_then(|unit| unit.serving.as_ref()) else { return };
    for path in ["/", "/pets/7", "//"] {
        let _route = serving.route(&serving.main, Verb::Get, path, &mut Captures::new());
    }
}

/// Carries the delta out as far as a control node could have sent it: what stands under a digest is what it is of, and
/// goes when nothing names it.
fn take(rows: &mut MapRows, delta: &Delta) -> Vec<RowChange> {
    let mut changes = Vec::new();
    for row in &delta.rows {
        match visible(row.table) {
            Some(table @ (Table::Part | Table::Content)) => {
                changes.push(rows.put(table, Digest::of(&row.value).as_bytes(), row.value.to_vec()));
            }
            Some(table) => changes.push(rows.put(table, &row.key, row.value.to_vec())),
            None => {}
        }
    }
    for gone in &delta.tombstones {
        if let Some(table) = visible(gone.table).filter(|table| !matches!(table, Table::Part | Table::Content)) {
            changes.push(rows.remove(table, &gone.key));
        }
    }
    changes
}

fn visible(table: i32) -> Option<Table> {
    Table::try_from(table).ok().filter(|table| VISIBLE.contains(table))
}

fn seeds() -> Vec<Vec<u8>> {
    let first = served("http://backend.example/{id}", "d1");
    let second = served("https://other.example/{id}", "d2");
    let all = delta(&first, Vec::new());
    let changed = delta(&second, vec![Tombstone { table: Table::Plan as i32, key: "p1".into(), number: 0 }]);
    let broken = delta(&served("not a uri", "d3"), Vec::new());
    vec![[all.clone(), changed].concat(), [all.clone(), broken.clone()].concat(), [broken, all].concat()]
}

/// An API with one route that is served, a plan and a key.
fn served(uri: &str, deployment: &str) -> MapRows {
    let rest_api = RestApi { level: 1, id: API.into(), name: "pets".into(), ..RestApi::default() };
    let resource =
        Resource { level: 1, id: "r1".into(), api_id: API.into(), path: "/pets/{id}".into(), ..Resource::default() };
    let integration = Integration {
        r#type: "HTTP_PROXY".into(),
        uri: Some(uri.into()),
        request_parameters: [("integration.request.path.id".into(), "method.request.path.id".into())].into(),
        ..Integration::default()
    };
    let method = Method {
        level: 1,
        api_id: API.into(),
        resource_id: "r1".into(),
        http_method: "GET".into(),
        method_integration: Some(integration),
        ..Method::default()
    };
    let entries = [
        crate::documents::entry_of(Table::RestApi, &[API], &rest_api),
        crate::documents::entry_of(Table::Resource, &[API, "r1"], &resource),
        crate::documents::entry_of(Table::Method, &[API, "r1", "GET"], &method),
    ];
    let mut rows = MapRows::default();
    let stage = Stage {
        level: 1,
        api_id: API.into(),
        stage_name: "prod".into(),
        deployment_id: deployment.into(),
        ..Stage::default()
    };
    rows.deploy(&entries, &stage);
    let throttle = Some(ThrottleSettings { burst_limit: Some(2), rate_limit: Some(1.5) });
    rows.put_plan(&UsagePlan { level: 1, id: "p1".into(), name: "gold".into(), throttle, ..UsagePlan::default() });
    rows.put_key(&KeyView { key_id: "k1".into(), hash: vec![7; 16].into(), enabled: true, ..KeyView::default() });
    rows
}

fn delta(rows: &MapRows, tombstones: Vec<Tombstone>) -> Vec<u8> {
    let all = VISIBLE.iter().flat_map(|table| {
        rows.rows(*table).map(|(key, value)| Row {
            table: *table as i32,
            key: key.to_vec().into(),
            number: 1,
            value: value.to_vec().into(),
        })
    });
    Delta { rows: all.collect(), tombstones, ..Delta::default() }.encode_length_delimited_to_vec()
}
