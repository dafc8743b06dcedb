//! What a phase is: it takes the previous one's proof by value and returns its own, or a reason to stop.

use futures_util::FutureExt as _;
use http::Response;
use sluice_integrate::Body;
use tracing::{Level, debug, enabled};

use crate::exchange::Exchange;
use crate::fault::Fault;

/// What a phase returns.
pub(crate) type Flow<T> = Result<T, Halt>;

/// The answer to a request, before the gateway's own headers.
pub(crate) type Reply = Response<Body>;

/// Why the journey ends before its last phase.
#[derive(Debug)]
pub(crate) enum Halt {
    /// An answer on purpose.
    #[expect(
        dead_code,
        reason = "preflights and cached answers come with their phases; the journey already carries them"
    )]
    Reply(Box<Reply>),
    /// It cannot go on.
    Fault(Fault),
}

impl From<Fault> for Halt {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// One step of the journey of a request that lives on a view for `'v`.
pub(crate) trait Phase<'v> {
    /// The proof of the previous phase.
    type In;
    /// The proof that only this phase can make.
    type Out;
    /// The phase's verb, for logs.
    const NAME: &'static str;

    /// Takes the step.
    async fn run(&self, input: Self::In, exchange: &mut Exchange) -> Flow<Self::Out>;
}

/// Runs one phase. Costs nothing unless debug logs are on.
pub(crate) fn step<'v, P: Phase<'v>>(
    phase: &P,
    input: P::In,
    exchange: &mut Exchange,
) -> impl Future<Output = Flow<P::Out>> {
    let id = *exchange.id();
    // Not an async function: that would hold what it is given twice, and move it once more.
    phase.run(input, exchange).inspect(move |outcome| {
        if enabled!(Level::DEBUG) {
            let stopped = matches!(outcome, Err(Halt::Fault(_)));
            debug!(request_id = %id.uuid(), phase = P::NAME, stopped, "phase ended");
        }
    })
}
