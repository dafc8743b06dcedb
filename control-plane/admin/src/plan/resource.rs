//! Resources: nodes of the path tree.

use std::collections::BTreeMap;

use sluice_proto::{
    model::{Method, Resource},
    raft::RowChange,
};
use sluice_state::Tables;

use super::{Planned, Planner, check_id, checked, missing, planned, removal};
use crate::{
    noun::{Noun, row_of},
    read::Found,
    refused::Refused,
};

impl<T: Tables> Planner<'_, T> {
    /// Creates a resource, or moves one: then the paths of all below it follow.
    pub(super) fn put_resource(&mut self, mut resource: Resource, expected: Option<u64>) -> Result<Planned, Refused> {
        self.api_of(&resource.api_id)?;
        let all = self.all::<Resource>(&resource.api_id);
        if resource.id.is_empty() {
            resource.id = self.ids.short(|id| all.iter().any(|other| other.document.id == id));
        }
        check_id(&resource.id, "id")?;
        self.leveled(&mut resource)?;
        let (found, expected) = self.present(&resource, expected)?;
        let was_root = found.as_ref().is_some_and(|found| found.document.parent_id.is_none());
        if was_root != resource.parent_id.is_none() {
            return Err(Refused::invalid(
                "parentId",
                "the root stays the root, and every other resource has a parent",
                "",
            ));
        }
        let mut refs = Vec::new();
        if let Some(parent_id) = resource.parent_id.clone() {
            let parent = self.parent_of(&resource, &parent_id, &all)?;
            refs.push(row_of(&parent));
            resource.path = path_below(&parent, &resource);
        }
        let mut warnings = checked(&resource)?;
        warnings.extend(path_checked(&resource)?);
        warnings.extend(self.siblings_allow(&resource, &all)?);
        let mut rows: Vec<RowChange> = self.api_unchanged(&resource.api_id)?.into_iter().collect();
        rows.push(self.row(&resource, refs, expected)?);
        if found.is_some_and(|found| found.document.path != resource.path) {
            rows.extend(self.moved_below(&resource, &all)?);
        }
        Ok(Planned { warnings, ..planned(resource, rows) })
    }

    fn parent_of(&self, resource: &Resource, parent_id: &str, all: &[Found<Resource>]) -> Result<Resource, Refused> {
        let by_id: BTreeMap<&str, &Resource> =
            all.iter().map(|one| (one.document.id.as_str(), &one.document)).collect();
        let Some(parent) = by_id.get(parent_id) else {
            return Err(Refused::invalid("parentId", format!("resource `{parent_id}` does not exist in this api"), ""));
        };
        let mut above = Some(*parent);
        while let Some(ancestor) = above {
            if ancestor.id == resource.id {
                return Err(Refused::invalid("parentId", "a resource cannot stand below itself", ""));
            }
            above = ancestor.parent_id.as_deref().and_then(|id| by_id.get(id).copied());
        }
        Ok((*parent).clone())
    }

    /// Two siblings with one path part are refused; two variables with different names are one place in the tree.
    fn siblings_allow(
        &self,
        resource: &Resource,
        all: &[Found<Resource>],
    ) -> Result<Vec<sluice_proto::model::Diagnostic>, Refused> {
        let is_variable = |part: &Option<String>| part.as_ref().is_some_and(|part| part.starts_with('{'));
        let mut warnings = Vec::new();
        for sibling in all.iter().map(|found| &found.document) {
            if sibling.id == resource.id || sibling.parent_id != resource.parent_id || sibling.parent_id.is_none() {
                continue;
            }
            if sibling.path_part == resource.path_part {
                let message = format!("a resource with the path {} exists: {}", sibling.path, sibling.id);
                return Err(Refused::conflict(message));
            }
            if is_variable(&sibling.path_part) && is_variable(&resource.path_part) {
                let message =
                    format!("{} stands beside {}: AWS refuses two variables at one place", resource.path, sibling.path);
                let mut warning = crate::refused::fault("sibling-variables", "pathPart", message, "");
                "warning".clone_into(&mut warning.severity);
                warnings.push(warning);
            }
        }
        Ok(warnings)
    }

    fn moved_below(&self, moved: &Resource, all: &[Found<Resource>]) -> Result<Vec<RowChange>, Refused> {
        let mut rows = Vec::new();
        let mut parents = vec![moved.clone()];
        while let Some(parent) = parents.pop() {
            for child in all.iter().filter(|one| one.document.parent_id.as_deref() == Some(&*parent.id)) {
                let mut document = child.document.clone();
                document.path = path_below(&parent, &document);
                path_checked(&document)?;
                rows.push(self.row(&document, vec![row_of(&parent)], None)?);
                parents.push(document);
            }
        }
        Ok(rows)
    }

    /// Everything that goes with a resource: its methods, and the resources below it with theirs, deepest first.
    pub(super) fn below_resource(&self, key: &[String]) -> Result<Vec<RowChange>, Refused> {
        let (api_id, id) = (&key[0], &key[1]);
        let resources = self.all::<Resource>(api_id);
        let methods = self.all::<Method>(api_id);
        let Some(first) = resources.iter().find(|one| &one.document.id == id) else {
            return Err(missing(Resource::KIND, key));
        };
        if first.document.parent_id.is_none() {
            return Err(Refused::invalid("target", "the root resource goes only with its api", "delete the api"));
        }
        let mut going = vec![&first.document];
        let mut next = 0;
        while let Some(parent) = going.get(next).map(|one| one.id.clone()) {
            going.extend(
                resources.iter().map(|one| &one.document).filter(|one| one.parent_id.as_deref() == Some(&parent)),
            );
            next += 1;
        }
        let mut rows = Vec::new();
        for resource in going.iter().rev() {
            let of_resource = methods.iter().filter(|method| method.document.resource_id == resource.id);
            rows.extend(of_resource.map(|method| removal(row_of(&method.document), None)));
            if &resource.id != id {
                rows.push(removal(row_of(*resource), None));
            }
        }
        Ok(rows)
    }
}

fn path_below(parent: &Resource, resource: &Resource) -> String {
    let part = resource.path_part.as_deref().unwrap_or_default();
    format!("{}/{part}", parent.path.trim_end_matches('/'))
}

fn path_checked(resource: &Resource) -> Result<Vec<sluice_proto::model::Diagnostic>, Refused> {
    let mut under = sluice_model::Diagnostics::new();
    under.absorb("pathPart", sluice_model::check::resource::path(&resource.path));
    let has_errors = under.has_errors();
    let messages = under.into_messages();
    if has_errors { Err(Refused::faults(messages)) } else { Ok(messages) }
}
