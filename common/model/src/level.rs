//! Feature levels: what documents may use while some nodes of a cluster are of an older release.
//!
//! A release knows the levels up to [`LEVEL`]. A cluster has the highest level that all its nodes know; a leader refuses
//! documents above it. A document carries the least level that knows every field it uses, so that a leader of a newer
//! release makes no document that older nodes must refuse, unless its author asked for something new.
//!
//! Promise: the level of a document follows from the document alone. Absent: raising a cluster's level, which its leader does.

use sluice_proto::model::{
    ApiKey, Authorizer, Deployment, GatewayResponse, Method, Model, RequestValidator, Resource, RestApi, Stage,
    UsagePlan, UsagePlanKey,
};

/// The newest feature level that this release knows: what nodes say of themselves.
///
/// A build with the feature `next-level` stands for the release after this one: it knows one level more, and a command of it,
/// so that tests can upgrade a cluster.
pub const LEVEL: u32 = if cfg!(feature = "next-level") { FIRST + 1 } else { FIRST };
/// The level of the first release, which every node knows.
pub const FIRST: u32 = 1;

/// A document that carries the level it needs.
pub trait Leveled {
    /// The least level that knows every field that the document uses.
    fn level_needed(&self) -> u32;

    /// The level that the document carries.
    fn level(&self) -> u32;

    /// Where the document carries its level.
    fn level_mut(&mut self) -> &mut u32;
}

/// The document, carrying the level it needs.
pub fn leveled<D: Leveled>(mut document: D) -> D {
    *document.level_mut() = document.level_needed();
    document
}

/// Documents all of whose fields are of the first level. One that gains a field at a later level gets an impl of its own,
/// which asks for that level where the field is used.
macro_rules! of_the_first_level {
    ($($document:ident),+) => {
        $(impl Leveled for $document {
            fn level_needed(&self) -> u32 {
                FIRST
            }

            fn level(&self) -> u32 {
                self.level
            }

            fn level_mut(&mut self) -> &mut u32 {
                &mut self.level
            }
        })+
    };
}

of_the_first_level!(
    ApiKey,
    Authorizer,
    Deployment,
    GatewayResponse,
    Method,
    Model,
    RequestValidator,
    Resource,
    RestApi,
    Stage,
    UsagePlan,
    UsagePlanKey
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_carries_what_it_needs_whatever_it_said() {
        for said in [0, LEVEL, LEVEL + 1] {
            let stage = leveled(Stage { level: said, ..Stage::default() });
            assert_eq!(stage.level, stage.level_needed());
            assert!((FIRST..=LEVEL).contains(&stage.level));
        }
    }
}
