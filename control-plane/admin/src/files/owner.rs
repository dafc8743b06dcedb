//! Whose files made an object, and what of it they no longer hold.
//!
//! Promise: what an apply of an owner makes is that owner's until it is deleted; what was there before is nobody's, and is
//! never pruned; an object of one owner is refused to another, whose files and the first owner's would take turns.
//! Absent: permissions; an owner is a name that the files' author chooses.

use std::collections::BTreeSet;

use sluice_proto::{
    admin::ObjectResult,
    raft::{PutRow, RowChange, Table},
};
use sluice_state::{Tables, View};

use crate::{
    files::EXPORTED_KINDS,
    noun,
    plan::{PENDING, put_row, removal},
    refused::{Refused, fault},
};

/// Characters of an owner's name.
const OWNER_CHARS_MAX: usize = 128;

/// Whether what the files no longer hold goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prune {
    Yes,
    No,
}

/// The owner of the files of one apply.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    name: String,
    prune: Prune,
}

/// An object that goes.
pub(super) struct Pruned {
    pub(super) row: RowChange,
    pub(super) result: ObjectResult,
}

impl Owner {
    /// The owner that a request names.
    ///
    /// # Errors
    /// `Invalid` for a name that is none, and for pruning without an owner.
    pub(crate) fn of(name: Option<String>, prune: bool) -> Result<Option<Self>, Refused> {
        let Some(name) = name else {
            if prune {
                let text = "expected an owner: only what an owner's files made is pruned";
                return Err(Refused::invalid("owner", text, "apply with --owner NAME, the same each time"));
            }
            return Ok(None);
        };
        let fits = (1..=OWNER_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
        if !fits {
            let text = format!("expected a name of 1 to {OWNER_CHARS_MAX} characters, found {name:?}");
            return Err(Refused::invalid("owner", text, ""));
        }
        Ok(Some(Self { name, prune: if prune { Prune::Yes } else { Prune::No } }))
    }

    /// Refuses an object that another owner's files made.
    pub(super) fn may_have<T: Tables>(&self, view: &View<T>, kind: &str, id: &str) -> Result<(), Refused> {
        match view.get(Table::Owned, &[kind, id]) {
            Some(found) if found.name != self.name => Err(Refused::faults(vec![fault(
                "conflict",
                "name",
                format!("it was made by the files of owner {}, and these are of owner {}", found.name, self.name),
                "keep an object in the files of one owner; without --owner it may be changed by any",
            )])),
            _ => Ok(()),
        }
    }

    /// The row that says whose a new object is.
    pub(super) fn owns(&self, kind: &str, id: &str) -> RowChange {
        put_row(PutRow {
            row: Some(noun::row(Table::Owned, vec![kind.to_owned(), id.to_owned()])),
            name: self.name.clone(),
            ..PutRow::default()
        })
    }

    /// What this owner's files made and, by `held` (kinds and ids), do not hold: plans before what they refer to.
    pub(super) fn pruned<T: Tables>(&self, view: &View<T>, held: &BTreeSet<(String, String)>) -> Vec<Pruned> {
        if self.prune == Prune::No {
            return Vec::new();
        }
        let owned = view.by_name(Table::Owned, &self.name);
        let kinds = super::ORDER.iter().rev();
        let of_kind = |kind: &&str| {
            let table = EXPORTED_KINDS.iter().find(|(exported, _)| exported == kind).map(|(_, table)| *table)?;
            let ids = owned.iter().filter(|key| key[0] == **kind).map(|key| key[1].clone());
            let ids = ids.filter(|id| !held.contains(&((**kind).to_owned(), id.clone())));
            Some(ids.filter_map(|id| pruned(view, kind, table, id)).collect::<Vec<_>>())
        };
        kinds.filter_map(of_kind).flatten().collect()
    }
}

fn pruned<T: Tables>(view: &View<T>, kind: &str, table: Table, id: String) -> Option<Pruned> {
    let found = view.get(table, &[&id])?;
    let expected = Some(found.version).filter(|version| *version != PENDING);
    let result = ObjectResult {
        kind: kind.to_owned(),
        name: found.name,
        effect: "deleted".to_owned(),
        id: id.clone(),
        differences: Vec::new(),
    };
    Some(Pruned { row: removal(noun::row(table, vec![id]), expected), result })
}
