//! Documents to the compiled snapshot that a data node runs.
//!
//! Promise: what is compiled is complete and typed; what is wrong, or what this release cannot run, is a diagnostic with
//! the path of its field, and costs only the API it stands in. Nothing here is done per request but lookups, which
//! allocate nothing. A change costs what changed: methods are taken over from the previous form by the digest of their
//! document, whole parts by theirs, keys by shard. A panic while a stage is compiled is a diagnostic of that stage.
//! Absent: files, sockets, clocks; evaluating what was compiled (`sluice-pipeline`, `sluice-integrate`).

mod api;
mod caught;
mod compile;
mod gateway_response;
mod http_proxy;
mod key;
mod method;
mod mock;
mod part;
mod plan;
mod route;
mod rows;
mod settings;
mod snapshot;
mod stage;
mod template;
mod uri;
mod value;
mod verb;

pub use api::{CompiledApi, Endpoint, Entry, compile_entries};
pub use caught::caught;
pub use compile::{Broken, compile};
pub use gateway_response::{CompiledGatewayResponse, GatewayBody};
pub use http_proxy::{HeaderMapping, HttpProxy, QueryMapping, StagedHttpProxy, TlsPolicy};
pub use key::{KeyEntry, KeyId, PlanList};
pub use method::{CompiledMethod, KeyNeed, MethodIntegration};
pub use mock::{Mock, MockAnswer, MockChoice, Passthrough};
pub use plan::{CompiledPlan, Throttle, ThrottleId};
pub use route::{CAPTURES_MAX, Captures, MethodIndex, RouteIndex};
pub use rows::{Changed, MapRows, RowChange, Rows};
pub use snapshot::{ApiUnit, Snapshot, StageUnit};
pub use stage::{CompiledCanary, CompiledIntegration, CompiledStage, CompiledVariant, Route, Variables};
pub use uri::{CompiledUri, Origin, Piece, Scheme};
pub use value::{ContextVariable, ValueSource};
pub use verb::{MethodVerb, Verb};

/// Code of diagnostics about a defect of this program: compiling panicked.
pub const COMPILE_PANICKED: &str = "compile-panicked";
/// Code of diagnostics about what AWS can do and this release cannot.
pub const NOT_SUPPORTED_YET: &str = "not-supported-yet";
