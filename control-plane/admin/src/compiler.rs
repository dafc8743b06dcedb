//! The dry compile: what every data node would make of a deployment, made before it is proposed.
//!
//! Promise: the same `compile` as on data nodes; what did not change since the last dry compile of the API is taken over
//! from it, entries by part and methods by digest. Absent: state; what is kept here only saves work.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use sluice_compile::{CompiledApi, Entry, compile_entries};
use sluice_model::Digest;
use sluice_proto::model::{Diagnostic, Stage};
use sluice_state::{Tables, View};

use crate::refused::Refused;

/// APIs of which the last compiled form is kept; the one that was compiled longest ago goes first.
const APIS_MAX: usize = 32;

/// Compiles APIs, and remembers the last form of some.
#[derive(Debug, Default)]
pub(crate) struct Compiler {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    apis: HashMap<String, KeptApi>,
    /// Rises with each use.
    clock: u64,
}

#[derive(Debug, Default, Clone)]
struct KeptApi {
    parts: HashMap<Digest, Arc<[Entry]>>,
    compiled: Option<Arc<CompiledApi>>,
    used: u64,
}

impl Compiler {
    /// The entries of the editable API.
    pub(crate) fn entries_of_api<T: Tables>(&self, view: &View<T>, api_id: &str) -> Vec<Entry> {
        let parts = view.api_row(api_id).map(|(_, row)| row.parts).unwrap_or_default();
        self.entries_of_parts(view, api_id, &parts)
    }

    /// The entries that a deployment copied.
    pub(crate) fn entries_of_deployment<T: Tables>(&self, view: &View<T>, api_id: &str, id: &str) -> Vec<Entry> {
        let parts = view.deployment(api_id, id).map(|(_, row)| row.parts).unwrap_or_default();
        self.entries_of_parts(view, api_id, &parts)
    }

    fn entries_of_parts<T: Tables>(&self, view: &View<T>, api_id: &str, digests: &[Bytes]) -> Vec<Entry> {
        let known = self.kept(api_id).parts;
        let mut parts: HashMap<Digest, Arc<[Entry]>> = HashMap::with_capacity(digests.len());
        let mut entries = Vec::new();
        for digest in digests.iter().filter_map(|digest| Digest::from_slice(digest)) {
            // Parts without entries are many and the same one.
            let part = parts.get(&digest).or_else(|| known.get(&digest)).cloned();
            let part = part.unwrap_or_else(|| entries_of_part(view, &digest));
            entries.extend_from_slice(&part);
            parts.insert(digest, part);
        }
        self.keep(api_id, |kept| kept.parts = parts);
        entries
    }

    /// Compiles; returns the warnings.
    ///
    /// # Errors
    /// `Invalid` with everything that is wrong or cannot be run by this release.
    pub(crate) fn compile(
        &self,
        api_id: &str,
        entries: &[Entry],
        stage: Option<&Stage>,
    ) -> Result<Vec<Diagnostic>, Refused> {
        let previous = self.kept(api_id).compiled;
        match compile_entries(entries, stage, previous.as_deref()) {
            Ok(compiled) => {
                let warnings = compiled.warnings.clone().into_messages();
                self.keep(api_id, |kept| kept.compiled = Some(compiled));
                Ok(warnings)
            }
            Err(diagnostics) => Err(Refused::faults(diagnostics.into_messages())),
        }
    }

    fn kept(&self, api_id: &str) -> KeptApi {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.apis.get(api_id).cloned().unwrap_or_default()
    }

    fn keep(&self, api_id: &str, change: impl FnOnce(&mut KeptApi)) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clock += 1;
        let clock = kept.clock;
        if !kept.apis.contains_key(api_id) && kept.apis.len() >= APIS_MAX {
            let oldest = kept.apis.iter().min_by_key(|(_, api)| api.used).map(|(id, _)| id.clone());
            oldest.into_iter().for_each(|id| drop(kept.apis.remove(&id)));
        }
        let api = kept.apis.entry(api_id.to_owned()).or_default();
        api.used = clock;
        change(api);
    }
}

fn entries_of_part<T: Tables>(view: &View<T>, digest: &Digest) -> Arc<[Entry]> {
    let part = view.part(digest).unwrap_or_default();
    let entry = |entry: sluice_proto::raft::PartEntry| {
        let digest = Digest::from_slice(&entry.content)?;
        let bytes = view.content(&digest)?;
        Some(Entry { table: entry.table(), key: entry.key, digest, bytes })
    };
    part.entries.into_iter().filter_map(entry).collect()
}
