//! Names of files, as ids.

use std::collections::BTreeMap;

use sluice_proto::raft::Table;
use sluice_state::{Tables, View};

use crate::{read, refused::Refused};

/// Ids of the objects that this apply has planned already, by kind and name.
#[derive(Debug, Default)]
pub(super) struct Names {
    planned: BTreeMap<(String, String), String>,
}

impl Names {
    pub(super) fn insert(&mut self, kind: &str, name: &str, id: &str) {
        self.planned.insert((kind.to_owned(), name.to_owned()), id.to_owned());
    }

    /// The id of what the files or the cluster know by this name.
    ///
    /// # Errors
    /// `Invalid` at `at` when nothing, or more than one thing, has the name.
    pub(super) fn find<T: Tables>(&self, view: &View<T>, kind: &str, name: &str, at: &str) -> Result<String, Refused> {
        if let Some(id) = self.planned.get(&(kind.to_owned(), name.to_owned())) {
            return Ok(id.clone());
        }
        let table = if kind == "RestApi" { Table::RestApi } else { Table::ApiKey };
        match present(view, table, kind, name, at)? {
            Some(id) => Ok(id),
            None => {
                let message = format!("there is no {kind} named `{name}`, here or in these files");
                Err(Refused::invalid(at, message, ""))
            }
        }
    }
}

/// The id of the one row of this name; none when there is none.
///
/// # Errors
/// `Invalid` when several have it: files know things by name.
pub(super) fn present<T: Tables>(
    view: &View<T>,
    table: Table,
    kind: &str,
    name: &str,
    at: &str,
) -> Result<Option<String>, Refused> {
    let mut ids = read::named_so(view, table, name);
    match ids.len() {
        0 | 1 => Ok(ids.pop()),
        many => {
            let message = format!("{many} objects of kind {kind} are named `{name}`: {}", ids.join(", "));
            Err(Refused::invalid(at, message, "give all but one another name; files know objects by name"))
        }
    }
}
