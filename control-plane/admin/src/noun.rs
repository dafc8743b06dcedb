//! The nouns of the model as Rust types: how a document, its kind, its table and its key belong together.

use prost::Message;
use serde::{Serialize, de::DeserializeOwned};
use sluice_model::level::Leveled;
use sluice_proto::{
    model::{
        ApiKey, Authorizer, Deployment, Document, GatewayResponse, Kind, Method, Model, Ref, RequestValidator,
        Resource, RestApi, Stage, UsagePlan, UsagePlanKey, document,
    },
    raft::{RowRef, Table},
};

/// A document of the model.
pub(crate) trait Noun:
    Leveled + Message + std::fmt::Debug + Default + Clone + PartialEq + Serialize + DeserializeOwned + 'static
{
    const KIND: Kind;
    const TABLE: Table;
    /// Name of the message in the schema.
    const MESSAGE: &'static str;
    /// Key parts, as `Ref.ids` has them.
    fn key(&self) -> Vec<String>;
    /// What the name index holds; empty for nouns without names.
    fn name(&self) -> &str;
    /// Wraps it as the envelope has it.
    fn into_document(self) -> Document;
}

macro_rules! noun {
    ($noun:ident, $kind:ident, $table:ident, $variant:ident, [$($key:ident),+], $name:expr) => {
        impl Noun for $noun {
            const KIND: Kind = Kind::$kind;
            const TABLE: Table = Table::$table;
            const MESSAGE: &'static str = stringify!($noun);
            fn key(&self) -> Vec<String> {
                vec![$(self.$key.clone()),+]
            }
            fn name(&self) -> &str {
                let name: fn(&Self) -> &str = $name;
                name(self)
            }
            fn into_document(self) -> Document {
                Document { kind: Some(document::Kind::$variant(self)) }
            }
        }
    };
}

noun!(RestApi, RestApi, RestApi, RestApi, [id], |noun| &noun.name);
noun!(Resource, Resource, Resource, Resource, [api_id, id], |_| "");
noun!(Method, Method, Method, Method, [api_id, resource_id, http_method], |_| "");
noun!(Model, Model, Model, Model, [api_id, name], |noun| &noun.name);
noun!(RequestValidator, RequestValidator, RequestValidator, RequestValidator, [api_id, id], |noun| &noun.name);
noun!(Authorizer, Authorizer, Authorizer, Authorizer, [api_id, id], |noun| &noun.name);
noun!(GatewayResponse, GatewayResponse, GatewayResponse, GatewayResponse, [api_id, response_type], |_| "");
noun!(Deployment, Deployment, Deployment, Deployment, [api_id, id], |_| "");
noun!(Stage, Stage, Stage, Stage, [api_id, stage_name], |noun| &noun.stage_name);
noun!(ApiKey, ApiKey, ApiKey, ApiKey, [id], |noun| &noun.name);
noun!(UsagePlan, UsagePlan, Plan, UsagePlan, [id], |noun| &noun.name);
noun!(UsagePlanKey, UsagePlanKey, PlanKey, UsagePlanKey, [plan_id, key_id], |_| "");

/// A kind's place in the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) table: Table,
    /// Parts of the whole key.
    pub(crate) key_len: usize,
    /// Parts of the key that a list is asked under: `[api]`, `[plan]` or nothing.
    pub(crate) parent_len: usize,
    pub(crate) word: &'static str,
}

impl Place {
    /// Where documents of `kind` stand; none for an unknown kind.
    pub(crate) fn of(kind: Kind) -> Option<Self> {
        let place = |table, key_len, parent_len, word| Some(Self { table, key_len, parent_len, word });
        match kind {
            Kind::Unspecified => None,
            Kind::RestApi => place(Table::RestApi, 1, 0, "api"),
            Kind::Resource => place(Table::Resource, 2, 1, "resource"),
            Kind::Method => place(Table::Method, 3, 1, "method"),
            Kind::Model => place(Table::Model, 2, 1, "model"),
            Kind::RequestValidator => place(Table::RequestValidator, 2, 1, "request validator"),
            Kind::Authorizer => place(Table::Authorizer, 2, 1, "authorizer"),
            Kind::GatewayResponse => place(Table::GatewayResponse, 2, 1, "gateway response"),
            Kind::Deployment => place(Table::Deployment, 2, 1, "deployment"),
            Kind::Stage => place(Table::Stage, 2, 1, "stage"),
            Kind::ApiKey => place(Table::ApiKey, 1, 0, "api key"),
            Kind::UsagePlan => place(Table::Plan, 1, 0, "usage plan"),
            Kind::UsagePlanKey => place(Table::PlanKey, 2, 1, "key of a usage plan"),
        }
    }
}

/// The kind of an enveloped document.
pub(crate) fn kind_of(document: &document::Kind) -> Kind {
    match document {
        document::Kind::RestApi(_) => Kind::RestApi,
        document::Kind::Resource(_) => Kind::Resource,
        document::Kind::Method(_) => Kind::Method,
        document::Kind::Model(_) => Kind::Model,
        document::Kind::RequestValidator(_) => Kind::RequestValidator,
        document::Kind::Authorizer(_) => Kind::Authorizer,
        document::Kind::GatewayResponse(_) => Kind::GatewayResponse,
        document::Kind::Deployment(_) => Kind::Deployment,
        document::Kind::Stage(_) => Kind::Stage,
        document::Kind::ApiKey(_) => Kind::ApiKey,
        document::Kind::UsagePlan(_) => Kind::UsagePlan,
        document::Kind::UsagePlanKey(_) => Kind::UsagePlanKey,
    }
}

/// The feature level that an enveloped document says it needs; 0 when it says nothing.
pub(crate) fn level_of(document: &document::Kind) -> u32 {
    match document {
        document::Kind::RestApi(document) => document.level,
        document::Kind::Resource(document) => document.level,
        document::Kind::Method(document) => document.level,
        document::Kind::Model(document) => document.level,
        document::Kind::RequestValidator(document) => document.level,
        document::Kind::Authorizer(document) => document.level,
        document::Kind::GatewayResponse(document) => document.level,
        document::Kind::Deployment(document) => document.level,
        document::Kind::Stage(document) => document.level,
        document::Kind::ApiKey(document) => document.level,
        document::Kind::UsagePlan(document) => document.level,
        document::Kind::UsagePlanKey(document) => document.level,
    }
}

/// The row of a document.
pub(crate) fn row_of<N: Noun>(noun: &N) -> RowRef {
    row(N::TABLE, noun.key())
}

/// A row by its table and key.
pub(crate) fn row(table: Table, key: Vec<String>) -> RowRef {
    RowRef { table: table.into(), key }
}

/// The name of a document towards callers.
pub(crate) fn ref_of<N: Noun>(noun: &N) -> Ref {
    Ref { kind: N::KIND.into(), ids: noun.key() }
}
