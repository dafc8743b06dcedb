//! Nouns as patches need them: that of `sluice-admin` knows tables and keys too.

use serde::{Serialize, de::DeserializeOwned};
use sluice_proto::model::{Authorizer, Method, RestApi, Stage, UsagePlan};

/// A document of the model.
pub(crate) trait Noun: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug {
    /// Name of the message in the schema.
    const MESSAGE: &'static str;
}

macro_rules! nouns {
    ($($noun:ident),+) => {
        $(impl Noun for $noun {
            const MESSAGE: &'static str = stringify!($noun);
        })+
    };
}

nouns!(Authorizer, Method, RestApi, Stage, UsagePlan);
