//! Validate: whether the request is what the method's validator asks for.
//!
//! In this release a method with a validator does not compile ("not-supported-yet"), so that every method that is served
//! asks for nothing, and the proof is given to all. The phase stands where validation will: after limits, before mapping.

use crate::admit::Admitted;
use crate::exchange::Exchange;
use crate::phase::{Flow, Phase};

/// The fifth phase.
#[derive(Debug)]
pub(crate) struct Validate;

/// A request that its method accepts.
#[derive(Debug)]
pub(crate) struct Validated<'v> {
    pub(crate) admitted: Admitted<'v>,
}

impl<'v> Phase<'v> for Validate {
    type In = Admitted<'v>;
    type Out = Validated<'v>;
    const NAME: &'static str = "validate";

    async fn run(&self, admitted: Admitted<'v>, _: &mut Exchange) -> Flow<Validated<'v>> {
        Ok(Validated { admitted })
    }
}
