//! Authorize: whether the caller may call at all. Here: API keys, through the usage plans of the stage.
//!
//! AWS: a method with `apiKeyRequired` needs a key that is enabled and in a usage plan of this API and stage; anything
//! else is 403 Forbidden, whichever it is. A key on a method that does not need one is not looked at.
//! Promise: only this file can make an `Authorized`. Absent: authorizers and IAM; APIs that name them do not compile.

use std::rc::Rc;

use http::HeaderName;
use sluice_compile::{CompiledPlan, KeyEntry, KeyNeed};
use sluice_model::part::lookup_hash;

use crate::core::Core;
use crate::exchange::Exchange;
use crate::fault::{Fault, FaultKind};
use crate::guard::Guarded;
use crate::phase::{Flow, Phase};
use crate::route::Routed;

/// Where callers put their key (`apiKeySource: HEADER`).
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The third phase.
#[derive(Debug)]
pub(crate) struct Authorize {
    pub(crate) core: Rc<Core>,
}

/// A request that may call its method.
#[derive(Debug)]
pub(crate) struct Authorized<'v> {
    pub(crate) guarded: Guarded<'v>,
    pub(crate) caller: Caller<'v>,
    /// Nobody else makes one.
    _proof: Proof,
}

#[derive(Debug)]
struct Proof;

/// Who calls.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Caller<'v> {
    /// Whoever it is.
    Anyone,
    /// The holder of a key, under a plan of this stage.
    Key {
        /// The key.
        key: &'v KeyEntry,
        /// The plan by which it may call.
        plan: &'v CompiledPlan,
    },
}

impl<'v> Phase<'v> for Authorize {
    type In = Guarded<'v>;
    type Out = Authorized<'v>;
    const NAME: &'static str = "authorize";

    async fn run(&self, guarded: Guarded<'v>, _: &mut Exchange) -> Flow<Authorized<'v>> {
        let caller = match guarded.routed.route.method.api_key {
            KeyNeed::NotRequired => Caller::Anyone,
            KeyNeed::Required => match holder(&guarded.routed) {
                Ok(caller) => caller,
                Err(detail) => {
                    // A caller without a key must not eat up the stage's limit of those who have one.
                    self.core.limits.give_back(&guarded.held);
                    return Err(Fault::new(FaultKind::InvalidApiKey, detail).into());
                }
            },
        };
        Ok(Authorized { guarded, caller, _proof: Proof })
    }
}

/// Finds the key of a request and the plan that admits it; the reason of a refusal is for logs only.
fn holder<'v>(routed: &Routed<'v>) -> Result<Caller<'v>, &'static str> {
    let mut sent = routed.received.parts.headers.get_all(&API_KEY).iter();
    let value = sent.next().ok_or("no api key")?;
    if sent.next().is_some() {
        // The backend might take another of them for the caller's than the one that was looked at.
        return Err("more than one api key");
    }
    let value = value.to_str().map_err(|_| "the api key is not text")?;
    let view = routed.view;
    let key = view.snapshot.key(&lookup_hash(&view.lookup_key, value)).ok_or("unknown api key")?;
    if !key.enabled {
        return Err("the api key is disabled");
    }
    let plan = view.snapshot.plan_of(key, routed.stage).ok_or("the api key is in no plan of this stage")?;
    Ok(Caller::Key { key, plan })
}

/// The value of the key as the client sent it.
pub(crate) fn sent_key(headers: &http::HeaderMap) -> Option<&str> {
    headers.get(&API_KEY)?.to_str().ok()
}
