//! Schemas to models: the file's components under their names, and those written in place under names made for them.
//!
//! Promise: a schema that is only a reference is its component's model; schemas written in place with the same text are
//! one model; the same file gives the same names.

use std::collections::{BTreeMap, HashMap};

use sluice_model::check;
use sluice_proto::model::Model;

use crate::{
    LEVEL,
    model_name::{ModelNames, joined_words},
    node::{Dialect, Document, Node},
    path::PathTemplate,
    schema,
};

const CONTENT_TYPE: &str = "application/json";

/// The models of an API while it is read.
pub(crate) struct Models<'d> {
    document: &'d Document<'d>,
    api_id: String,
    names: ModelNames,
    /// Component name to model name.
    components: HashMap<&'d str, String>,
    /// Text of a schema written in place to its model's name.
    in_place: HashMap<String, String>,
    documents: Vec<Model>,
    /// What models written in place are named after.
    operation: String,
}

impl<'d> Models<'d> {
    /// One model per component schema.
    pub(crate) fn of_components(document: &'d Document<'d>, api_id: &str) -> Self {
        let mut models = Self {
            document,
            api_id: api_id.to_owned(),
            names: ModelNames::default(),
            components: HashMap::new(),
            in_place: HashMap::new(),
            documents: Vec::new(),
            operation: String::new(),
        };
        let schemas = models.component_schemas();
        models.name_components(&schemas);
        for (component, node) in &schemas {
            let name = models.components[component].clone();
            let text = models.text(node);
            let title = node.value.get("description").and_then(|text| text.as_str()).map(str::to_owned);
            models.add(node, name, title, text);
        }
        models
    }

    fn component_schemas(&self) -> Vec<(&'d str, Node<'d>)> {
        let root = self.document.root();
        match self.document.dialect {
            Dialect::Swagger2 => root.entries_of("definitions"),
            Dialect::OpenApi3 => root.field("components").map(|node| node.entries_of("schemas")).unwrap_or_default(),
        }
    }

    /// Names that may stay are given first, so that a stripped one never takes theirs.
    fn name_components(&mut self, schemas: &[(&'d str, Node<'d>)]) {
        for (component, _) in schemas {
            if let Some(name) = self.names.keep(component) {
                self.components.insert(component, name);
            }
        }
        let mut renamed = Vec::new();
        for (component, node) in schemas {
            if !self.components.contains_key(component) {
                let name = self.names.strip(component);
                renamed.push((node.at(), format!("the schema `{component}` is the model `{name}`")));
                self.components.insert(component, name);
            }
        }
        let hint = "names of models hold letters and digits only";
        self.document.problems.warn_of_each("model-renamed", renamed, hint);
    }

    /// Says which operation the schemas written in place belong to, from here on.
    pub(crate) fn name_after(&mut self, operation_id: &str, verb: &str, path: &PathTemplate<'_>) {
        let name = joined_words(operation_id);
        self.operation = if name.is_empty() { joined_words(&format!("{}-{path}", verb.to_lowercase())) } else { name };
    }

    /// The model of each media type of a request body or a response (OpenAPI 3's `content`).
    pub(crate) fn of_content(&mut self, owner: &Node<'d>, role: &str) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for (media_type, entry) in owner.entries_of("content") {
            let schema = entry.field("schema");
            if let Some(name) = schema.and_then(|schema| self.of_schema(&schema, role)) {
                found.insert(media_type.to_owned(), name);
            }
        }
        found
    }

    /// The model of one schema of an operation; `role` says what it is there for: `Request`, `Response200`.
    pub(crate) fn of_schema(&mut self, schema: &Node<'d>, role: &str) -> Option<String> {
        let object = schema.value.as_object()?;
        if let Some(target) = object.get("$ref").and_then(|target| target.as_str()) {
            let component = schema::component(target);
            if let Some(name) =
                component.and_then(|(component, rest)| rest.is_empty().then(|| self.components.get(component)))
            {
                return name.cloned().or_else(|| schema.resolved().and(None));
            }
        }
        if object.is_empty() {
            return None;
        }
        let text = self.text(schema);
        if let Some(name) = self.in_place.get(&text) {
            return Some(name.clone());
        }
        let name = self.names.strip(&format!("{}{role}", self.operation));
        self.in_place.insert(text.clone(), name.clone());
        self.add(schema, name.clone(), None, text);
        Some(name)
    }

    fn text(&self, schema: &Node<'d>) -> String {
        schema::text(schema, &|component| {
            let name = self.components.get(component)?;
            Some(format!("https://apigateway.amazonaws.com/restapis/{}/models/{name}", self.api_id))
        })
    }

    fn add(&mut self, node: &Node<'d>, name: String, description: Option<String>, schema: String) {
        let model = Model {
            level: LEVEL,
            id: String::new(),
            api_id: String::new(),
            name,
            description,
            schema: Some(schema),
            content_type: Some(CONTENT_TYPE.to_owned()),
        };
        node.absorb(check::model::check(&model));
        self.documents.push(model);
    }

    /// All of them, by name.
    pub(crate) fn into_documents(mut self) -> Vec<Model> {
        self.documents.sort_by(|a, b| a.name.cmp(&b.name));
        self.documents
    }
}
