//! The switch of a restore: the staged rows take the place of the cluster's, under a new generation.
//!
//! Promise: all of it or nothing, in one command; what is kept of the cluster is said by `on_restore` alone; whatever was
//! staged, the state afterwards is one that commands could have made: indexes, counts and what data nodes see of keys are
//! made anew, and rows that refer to nothing are refused. Every row has the command's version, and every visible row the
//! next number: numbers go on rising, so that a node can tell a state before the restore from one after it.
//! Absent: opening what is sealed in rows (`sluice-admin`, before they are staged).

use std::collections::BTreeSet;

use prost::Message;
use sluice_model::{
    Digest, RowHasher, StateDigest,
    part::{self, PARTS},
};
use sluice_proto::raft::{
    ApiRow, BackupRow, DeploymentRow, Part, Progress, RefCount, Restore, RowRef, StagedRestore, StoredRow, Table,
    rejected::Code,
};

use super::{
    api::check_part,
    content::check_entries,
    key::{HASH_BYTES, view_document, view_of},
    refcount::Seen,
    refusal::{Flow, describe, invalid, not_found, refuse},
    run::{Run, row_id},
};
use crate::{
    keys::{self, RowId},
    on_restore::{OnRestore, on_restore, tables},
    rows,
    tables::Tables,
};

/// The visible rows so far.
struct Visible {
    number: u64,
    hasher: RowHasher,
    digest: StateDigest,
}

impl<T: Tables> Run<'_, '_, T> {
    pub(super) fn restore(&mut self, restore: &Restore) -> Flow {
        let restored = self.restore_staged(restore);
        // Of the old generation, or of a new one that is not to be.
        self.draft.hasher = None;
        restored
    }

    fn restore_staged(&mut self, restore: &Restore) -> Flow {
        let staged: StagedRestore = rows::read(self.draft, keys::STAGED_RESTORE).unwrap_or_default();
        let asked = (&restore.restore_id, restore.chunks, &restore.digest);
        if staged.restore_id.is_empty() || asked != (&staged.restore_id, staged.chunks, &staged.digest) {
            return refuse(
                Code::NotFound,
                "expected a restore that is staged whole, found none; send the backup again",
            );
        }
        let mut cluster = rows::cluster(self.draft).unwrap_or_default();
        if restore.generation.is_empty() || restore.generation == cluster.generation {
            return invalid("expected a new generation");
        }
        if restore.level > cluster.level {
            let message = format!("expected rows of level {} at most, found {}", cluster.level, restore.level);
            return refuse(Code::Level, message);
        }
        self.wipe();
        cluster.generation.clone_from(&restore.generation);
        self.draft.put(keys::CLUSTER.to_vec(), cluster.encode_to_vec());
        let number = self.progress.number + 1;
        let hasher = RowHasher::new(&cluster.cluster_id, &cluster.generation);
        let mut visible = Visible { number, hasher, digest: StateDigest::default() };
        self.each_staged(staged.chunks, |run, row| run.place(row, &mut visible))?;
        let mut targets = BTreeSet::new();
        self.each_staged(staged.chunks, |run, row| run.count_row(&row, &mut targets))?;
        targets.iter().try_for_each(|target| self.expect_placed(target))?;
        self.each_staged(staged.chunks, |run, row| run.derive(&row, &mut visible))?;
        self.see_counted(&mut visible);
        self.forget_staged();
        self.progress = Progress {
            number,
            digest: visible.digest.to_bytes().to_vec().into(),
            trimmed_through: number,
            changes: 0,
            change_key_bytes: 0,
            ..self.progress.clone()
        };
        Ok(())
    }

    /// Removes every row that the restore replaces, and all that was derived from it.
    fn wipe(&mut self) {
        let replaced = tables().filter(|table| on_restore(*table) != OnRestore::Kept);
        let spaces: Vec<_> = replaced.flat_map(keys::spaces_of).chain(keys::spaces_of_visible()).collect();
        for (from, to) in spaces {
            let gone: Vec<_> = self.draft.scan(&from, &to).map(|(key, _)| key).collect();
            gone.into_iter().for_each(|key| self.draft.delete(key));
        }
        let (from, to) = keys::all_referrers();
        let of_replaced =
            |key: &Vec<u8>| keys::referring_table(key).is_some_and(|table| on_restore(table) != OnRestore::Kept);
        let gone: Vec<_> = self.draft.scan(&from, &to).map(|(key, _)| key).filter(of_replaced).collect();
        gone.into_iter().for_each(|key| self.draft.delete(key));
    }

    /// Writes a row with the indexes that it alone decides.
    fn place(&mut self, row: BackupRow, visible: &mut Visible) -> Flow {
        let table = row.table();
        if on_restore(table) != OnRestore::Replaced || (part::is_entry_table(table) && table != Table::RestApi) {
            return invalid(format!("expected rows of tables that a restore replaces, found {}", table.as_str_name()));
        }
        let Ok(mut stored) = StoredRow::decode(row.row) else { return invalid("expected an encoded row, found none") };
        let id = RowId::new(table, row.key.to_vec());
        if self.draft.get(&keys::row(&id)).is_some() {
            return invalid(format!("expected each row once, found {} again", describe(&id)));
        }
        (stored.version, stored.number) = (self.version, 0);
        if matches!(table, Table::Part | Table::Content) {
            if Digest::of(&stored.document).as_bytes()[..] != id.key[..] {
                return invalid("expected the bytes that their digest names, found others");
            }
            self.write_unreferenced(&id, RefCount::default());
        } else {
            check_key(&id)?;
            self.index(&id, &stored)?;
        }
        if rows::is_always_visible(table) {
            stored.number = visible.number;
            visible.digest.add(visible.hasher.row(table, &id.key, &stored.document));
        }
        self.draft.put(keys::row(&id), stored.encode_to_vec());
        Ok(())
    }

    fn index(&mut self, id: &RowId, stored: &StoredRow) -> Flow {
        if !stored.name.is_empty() {
            self.draft.put(keys::name(id, &stored.name), Vec::new());
        }
        if !stored.unique.is_empty() {
            let key = keys::unique(id.table, &stored.unique);
            if self.draft.get(&key).is_some() {
                return refuse(
                    Code::NotUnique,
                    format!("expected values that no two rows hold, found {}", describe(id)),
                );
            }
            self.draft.put(key, id.key.clone());
        }
        for to in &stored.refs {
            self.draft.put(keys::referrer(&row_id(to)?, id), Vec::new());
        }
        Ok(())
    }

    /// Checks what a placed row leads to, and counts it. Rows of other tables that it names go to `targets`.
    fn count_row(&mut self, row: &BackupRow, targets: &mut BTreeSet<RowId>) -> Flow {
        let id = RowId::new(row.table(), row.key.to_vec());
        let Some(stored) = self.stored(&id) else { return not_found(&id) };
        if id.table == Table::Part {
            let Ok(part) = Part::decode(stored.document) else { return invalid("expected an encoded part") };
            check_entries(&part.entries)?;
            part.entries.iter().try_for_each(|entry| self.count_placed(Table::Content, &entry.content))?;
        } else if id.table == Table::RestApi {
            self.count_api(&id, &stored)?;
        } else if id.table == Table::Deployment {
            self.count_deployed(&id, &stored)?;
            targets.insert(api_of(&id));
        } else if id.table == Table::Stage {
            targets.insert(api_of(&id));
            let deployments = stored.refs.iter().filter(|to| to.table() == Table::Deployment);
            let deployments: BTreeSet<_> = deployments.map(|to| RowId::of_parts(to.table(), &to.key)).collect();
            for deployment in deployments {
                *self.visible.entry(deployment).or_default() += 1;
            }
        } else if id.table == Table::ApiKey {
            let hash = stored.key_fields.as_ref().map(|fields| fields.hash.len());
            if hash != Some(HASH_BYTES) {
                return invalid(format!("expected {} with a hash of {HASH_BYTES} bytes", describe(&id)));
            }
            if let Some(fields) = &stored.key_fields {
                self.expect_open_key(&id, fields)?;
            }
        }
        targets.extend(stored.refs.iter().map(|to| RowId::of_parts(to.table(), &to.key)));
        Ok(())
    }

    fn count_api(&mut self, id: &RowId, stored: &StoredRow) -> Flow {
        let Ok(row) = ApiRow::decode(stored.document.clone()) else { return invalid("expected an encoded api") };
        let key = id.parts();
        if row.parts.len() != PARTS || row.name != stored.name {
            return invalid(format!("expected {PARTS} parts of {}, found {}", describe(id), row.parts.len()));
        }
        for (number, digest) in row.parts.iter().enumerate() {
            self.count_placed(Table::Part, digest)?;
            let stored = self.stored(&RowId::new(Table::Part, digest.to_vec())).unwrap_or_default();
            let Ok(part) = Part::decode(stored.document) else { return invalid("expected an encoded part") };
            check_part(&key[0], number, &part)?;
            if number == part::part_of(&key[0]) && part::entry_content(&part, Table::RestApi, &key).is_none() {
                return invalid("expected the api's own document among its parts, found none");
            }
        }
        Ok(())
    }

    fn count_deployed(&mut self, id: &RowId, stored: &StoredRow) -> Flow {
        let Ok(row) = DeploymentRow::decode(stored.document.clone()) else {
            return invalid("expected an encoded deployment");
        };
        if row.parts.len() != PARTS {
            return invalid(format!("expected {PARTS} parts of {}, found {}", describe(id), row.parts.len()));
        }
        row.parts.iter().try_for_each(|digest| self.count_placed(Table::Part, digest))?;
        row.models.iter().try_for_each(|model| self.count_placed(Table::Content, &model.content))
    }

    /// One reference to a part or content that must be there.
    fn count_placed(&mut self, table: Table, digest: &[u8]) -> Flow {
        if self.draft.get(&keys::ref_count(&RowId::new(table, digest))).is_none() {
            return invalid(format!("expected every {} that rows name, found one missing", table.as_str_name()));
        }
        self.count_any(table, digest, 1);
        Ok(())
    }

    fn expect_placed(&mut self, target: &RowId) -> Flow {
        let exists = match part::is_entry_table(target.table) {
            true => self.entry_exists(target),
            false => self.draft.get(&keys::row(target)).is_some(),
        };
        if exists { Ok(()) } else { not_found(target) }
    }

    /// Writes what data nodes see of a key.
    fn derive(&mut self, row: &BackupRow, visible: &mut Visible) -> Flow {
        if row.table() != Table::ApiKey {
            return Ok(());
        }
        let key = RowId::new(Table::ApiKey, row.key.to_vec());
        let Some(stored) = self.stored(&key) else { return not_found(&key) };
        let (id, document) = (view_of(&key), view_document(&key, stored, self.plans_of(&key)));
        visible.digest.add(visible.hasher.row(id.table, &id.key, &document));
        let view = StoredRow { version: self.version, number: visible.number, document, ..StoredRow::default() };
        self.draft.put(keys::row(&id), view.encode_to_vec());
        Ok(())
    }

    /// Settles the counts, and stamps what stages lead to.
    fn see_counted(&mut self, visible: &mut Visible) {
        for (id, _) in self.settle_counts().into_iter().filter(|(_, crossing)| crossing.is == Seen::Yes) {
            let document = self.stored(&id).map(|row| row.document).unwrap_or_default();
            visible.digest.add(visible.hasher.row(id.table, &id.key, &document));
            if let Some(mut count) = rows::ref_count(self.draft, &id) {
                count.number = visible.number;
                self.draft.put(keys::ref_count(&id), count.encode_to_vec());
            }
        }
    }
}

/// The API of a stage or deployment.
fn api_of(id: &RowId) -> RowId {
    RowId::of_parts(Table::RestApi, &id.parts()[..1])
}

/// Checks the key of a row whose key is text.
fn check_key(id: &RowId) -> Flow {
    let Some(parts) = part::split_key(&id.key) else { return invalid("expected a key of text, found other bytes") };
    let row = RowRef { table: id.table as i32, key: parts.into_iter().map(str::to_owned).collect() };
    row_id(&row).map(drop)
}
