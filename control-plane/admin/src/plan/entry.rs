//! What the entries of an API have in common: they belong to an API that exists, and refer to each other by id.

use sluice_proto::{
    model::RestApi,
    raft::{RowChange, RowRef},
};
use sluice_state::Tables;

use super::{PENDING, Planner};
use crate::{
    noun::{Noun, row},
    read::{self, Found},
    refused::Refused,
};

impl<T: Tables> Planner<'_, T> {
    /// Refuses an API that does not exist.
    pub(super) fn api_of(&self, api_id: &str) -> Result<(), Refused> {
        if api_id.is_empty() {
            return Err(Refused::invalid("apiId", "expected the id of an api, found none", ""));
        }
        if read::api_exists(&self.view, api_id) {
            return Ok(());
        }
        Err(Refused::not_found(format!("api {api_id} does not exist")))
    }

    /// A row that changes nothing, but makes apply refuse when anything of the API was changed since it was read. For
    /// rules between entries: apply knows only what the entries themselves expect.
    pub(super) fn api_unchanged(&self, api_id: &str) -> Result<Option<RowChange>, Refused> {
        match read::find::<RestApi, _>(&self.view, &[api_id.to_owned()]) {
            Some(api) if api.version != PENDING => Ok(Some(self.row(&api.document, Vec::new(), Some(api.version))?)),
            _ => Ok(None),
        }
    }

    /// A row of this API that must exist; a missing one is a fault at `at`.
    pub(super) fn referred<N: Noun>(&self, key: &[&str], at: &str, what: &str) -> Result<RowRef, Refused> {
        let key: Vec<String> = key.iter().map(|part| (*part).to_owned()).collect();
        match read::find::<N, _>(&self.view, &key) {
            Some(_) => Ok(row(N::TABLE, key)),
            None => {
                let named = key.last().cloned().unwrap_or_default();
                Err(Refused::invalid(at, format!("{what} `{named}` does not exist in this api"), "create it first"))
            }
        }
    }

    /// All documents of one noun that an API holds.
    pub(super) fn all<N: Noun>(&self, api_id: &str) -> Vec<Found<N>> {
        read::all_of_api::<N, _>(&self.view, api_id)
    }

    /// Refuses a name that another document of this noun has; files and imports know these by name.
    pub(super) fn name_is_free<N: Noun>(&self, api_id: &str, document: &N) -> Result<(), Refused> {
        let key = document.key();
        let taken = self
            .all::<N>(api_id)
            .into_iter()
            .any(|other| other.document.name() == document.name() && other.document.key() != key);
        if taken {
            return Err(Refused::conflict(format!("this api has another one named `{}`", document.name())));
        }
        Ok(())
    }
}
