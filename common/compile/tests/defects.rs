//! A defect of this program while it compiles: it costs the stage that met it.

mod fixture;

use std::sync::Arc;

use fixture::{ApiFixture, generation};
use sluice_compile::{Broken, COMPILE_PANICKED, Changed, MapRows, RowChange, Rows, Snapshot, compile};
use sluice_model::Revision;
use sluice_proto::raft::Table;

/// Text in a document that this release cannot compile without a panic.
const POISON: &str = "/poison";

/// Rows of which some cannot be looked at.
struct Poisoned<'a>(&'a MapRows);

impl Rows for Poisoned<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Option<&[u8]> {
        let value = self.0.get(table, key)?;
        assert!(
            table != Table::Content || !value.windows(POISON.len()).any(|part| part == POISON.as_bytes()),
            "poison"
        );
        Some(value)
    }

    fn rows(&self, table: Table) -> Box<dyn Iterator<Item = (&[u8], &[u8])> + '_> {
        self.0.rows(table)
    }
}

fn next(rows: &MapRows, changes: Vec<RowChange>, previous: &Arc<Snapshot>) -> (Arc<Snapshot>, Vec<Broken>) {
    let revision = Revision::new(generation(), previous.revision.number + 1);
    let (snapshot, broken) = compile(&Poisoned(rows), revision, Changed::Rows(changes), Some(previous));
    (Arc::new(snapshot), broken)
}

fn deployment(snapshot: &Snapshot, stage: &str) -> Option<String> {
    Some(snapshot.stage("api1", stage)?.serving.as_ref()?.main.deployment_id.to_string())
}

#[test]
fn a_stage_whose_compiling_panics_keeps_its_form_and_is_reported_until_another_is_deployed() {
    let mut api = ApiFixture::pets();
    let mut rows = MapRows::default();
    rows.deploy(&api.entries(), &fixture::stage("prod", "d1"));
    rows.put_stage(&fixture::stage("steady", "d1"));
    let (good, broken) = compile(&Poisoned(&rows), Revision::new(generation(), 1), Changed::All, None);
    assert!(broken.is_empty());

    api.add(POISON, &["GET"]);
    let mut changes = rows.deploy(&api.entries(), &fixture::stage("prod", "d2"));
    changes.push(rows.put_stage(&fixture::stage("fresh", "d2")));
    let (kept, broken) = next(&rows, changes, &Arc::new(good));
    let serving = ["prod", "steady", "fresh"].map(|stage| deployment(&kept, stage));
    assert_eq!(serving, [Some("d1".to_owned()), Some("d1".to_owned()), None]);
    let found: Vec<_> = broken[0].diagnostics.iter().map(|one| (&*one.code, one.at.as_str())).collect();
    assert_eq!(found, [(COMPILE_PANICKED, "stages[\"fresh\"]"), (COMPILE_PANICKED, "stages[\"prod\"]")]);
    let first = broken[0].diagnostics.iter().next().unwrap();
    assert!(first.message.contains("poison") && first.hint.contains("earlier deployment"), "{first}");

    let (whole, broken) = compile(&Poisoned(&rows), Revision::new(generation(), 3), Changed::All, Some(&kept));
    assert_eq!((deployment(&whole, "prod"), broken.len()), (Some("d1".to_owned()), 1), "compiling all contains it too");

    let mut changes = rows.deploy(&ApiFixture::pets().entries(), &fixture::stage("prod", "d3"));
    changes.push(rows.put_stage(&fixture::stage("fresh", "d3")));
    let (mended, broken) = next(&rows, changes, &kept);
    assert!(broken.is_empty(), "{broken:?}");
    assert_eq!(
        ["prod", "fresh"].map(|stage| deployment(&mended, stage)),
        [Some("d3".to_owned()), Some("d3".to_owned())]
    );
}
