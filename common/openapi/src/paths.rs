//! `paths` to the tree of resources and its methods.
//!
//! Promise: resources between are made where no path names them; siblings may name their variable differently (a
//! warning), but no two paths of one shape have the same verb, for nothing could tell their requests apart.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sluice_proto::model::{Method, Resource};

use crate::{
    LEVEL,
    model::Models,
    node::{Document, Node},
    operation::Operations,
    path::{PathProblem, PathTemplate},
};

/// AWS's quota of resources of an API; ours is larger, so that it is only a warning.
const AWS_RESOURCES_MAX: usize = 300;
/// Fields of a path item that are operations, with their verb.
const VERBS: [(&str, &str); 8] = [
    ("get", "GET"),
    ("put", "PUT"),
    ("post", "POST"),
    ("delete", "DELETE"),
    ("options", "OPTIONS"),
    ("head", "HEAD"),
    ("patch", "PATCH"),
    ("x-amazon-apigateway-any-method", "ANY"),
];

/// What `paths` holds.
pub(crate) struct Found {
    pub(crate) resources: Vec<Resource>,
    pub(crate) methods: Vec<Method>,
}

/// Reads every path; models written in place are added to `models`.
pub(crate) fn read<'d>(document: &'d Document<'d>, operations: &Operations<'_>, models: &mut Models<'d>) -> Found {
    let root = document.root();
    let mut tree = Tree::default();
    let mut methods = Vec::new();
    if root.field("paths").is_none() {
        root.warn("paths-missing", "the file has no `paths`: the API will have no routes", "");
    }
    for (path, entry) in root.entries_of("paths") {
        if path.starts_with("x-") {
            continue;
        }
        let Some(template) = template(path, &entry) else { continue };
        let Some(item) = entry.resolved().filter(|item| item.object().is_some()) else { continue };
        tree.insert(&template, &entry);
        for (verb, operation) in verbs(&item) {
            if tree.claim(&template, verb, &operation) {
                methods.push(operations.method(&template, verb, &item, &operation, models));
            }
        }
    }
    tree.warn(&root);
    warn_of_missing_integrations(&root, &methods);
    methods.sort_by(|a, b| (&a.resource_id, &a.http_method).cmp(&(&b.resource_id, &b.http_method)));
    Found { resources: tree.resources.into_values().collect(), methods }
}

fn template<'d>(path: &'d str, entry: &Node<'d>) -> Option<PathTemplate<'d>> {
    match PathTemplate::parse(path) {
        Ok(template) => Some(template),
        Err(PathProblem::Wrong { message, hint }) => {
            entry.error("path-invalid", message, hint);
            None
        }
        Err(PathProblem::Mixed(segment)) => {
            let message = format!("the segment `{segment}` mixes text and variables; this path is left out");
            entry.warn("path-left-out", message, "use one variable for the whole segment");
            None
        }
    }
}

fn verbs<'d>(item: &Node<'d>) -> Vec<(&'static str, Node<'d>)> {
    if let Some(trace) = item.field("trace") {
        trace.warn("verb-left-out", "the verb TRACE cannot be served; this operation is left out", "");
    }
    for (field, verb) in VERBS {
        // YAML authors leave values away; an operation that would silently vanish is worth an error.
        if item.value.get(field).is_some_and(serde_json::Value::is_null) {
            item.error("operation-empty", format!("the operation {verb} is empty"), format!("write `{field}: {{}}`"));
        }
    }
    let operations = VERBS.iter().filter_map(|(field, verb)| Some((*verb, item.field(field)?)));
    operations.filter(|(_, operation)| operation.object().is_some()).collect()
}

#[derive(Default)]
struct Tree {
    /// By path, so that parents come first.
    resources: BTreeMap<String, Resource>,
    /// The variables of one parent; more than one is worth a warning.
    variables: BTreeMap<String, BTreeSet<String>>,
    /// (shape, verb) to the path that has it.
    claimed: HashMap<(String, &'static str), String>,
}

impl Tree {
    fn insert(&mut self, template: &PathTemplate<'_>, entry: &Node<'_>) {
        let mut parent: Option<String> = None;
        for (path, last) in template.prefixes() {
            if let (Some(parent), Some(part)) = (&parent, last.filter(|part| part.variable().is_some())) {
                self.variables.entry(parent.clone()).or_default().insert(part.text.to_owned());
            }
            self.resources.entry(path.clone()).or_insert_with(|| Resource {
                level: LEVEL,
                id: path.clone(),
                api_id: String::new(),
                parent_id: parent.take(),
                path_part: last.map(|part| part.text.to_owned()),
                path: path.clone(),
            });
            parent = Some(path);
        }
        if self.resources.len() > sluice_model::limits::RESOURCES_MAX {
            let max = sluice_model::limits::RESOURCES_MAX;
            entry.document.root().error("too-many", format!("expected at most {max} resources"), "split the API");
        }
    }

    /// Whether `verb` of this shape was free; a problem is reported when it was not.
    fn claim(&mut self, template: &PathTemplate<'_>, verb: &'static str, operation: &Node<'_>) -> bool {
        let path = template.to_string();
        let Some(other) = self.claimed.insert((template.shape(), verb), path) else { return true };
        let message = format!("{verb} {other} matches the same requests");
        operation.error("route-conflict", message, "keep one of the two");
        false
    }

    fn warn(&self, root: &Node<'_>) {
        let siblings = self.variables.iter().filter(|(_, names)| {
            names.iter().filter(|name| !name.ends_with("+}")).count() > 1
                || names.iter().filter(|name| name.ends_with("+}")).count() > 1
        });
        let each = siblings.map(|(parent, names)| {
            let names = names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let mut at = String::from("paths");
            crate::node::write_key(&mut at, parent);
            (at, format!("the variables {names} stand in one place; each route keeps its own name"))
        });
        let hint = "AWS allows one name here: use one if the API must run there too";
        root.document.problems.warn_of_each("sibling-variables", each.collect(), hint);
        let count = self.resources.len();
        if count > AWS_RESOURCES_MAX {
            let message = format!("{count} resources; AWS allows {AWS_RESOURCES_MAX} by default");
            let at = String::from("paths");
            root.document.problems.warn("aws-limit", at, message, "nothing to do here; AWS would need a raised quota");
        }
    }
}

fn warn_of_missing_integrations(root: &Node<'_>, methods: &[Method]) {
    let mut without = methods.iter().filter(|method| method.method_integration.is_none());
    if let Some(first) = without.next() {
        let (verb, path, more) = (&first.http_method, &first.resource_id, without.count());
        let others = if more == 0 { String::new() } else { format!(" and {more} more") };
        let message = format!("{verb} {path}{others} without integration: deployment will be refused");
        let hint = "add x-amazon-apigateway-integration, or import with --backend URL";
        root.document.problems.warn("integration-missing", String::from("paths"), message, hint);
    }
}
