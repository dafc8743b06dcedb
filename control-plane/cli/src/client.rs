//! Calls to whichever control node answers.
//!
//! Promise: a call is repeated, at the next control node, while its time lasts and its outcome is not known. That is
//! safe: everything that changes something carries a request id, and the cluster answers a repetition with the first
//! outcome. What a control node refuses is not repeated. Absent: channels, which `sluice-identity` makes.

use std::{
    cell::{Cell, RefCell},
    error::Error as _,
    time::{Duration, Instant},
};

use prost::Message as _;
use sluice_identity::{Channel, Dialer, NodeRole, Purpose};
use sluice_proto::admin::ErrorDetails;
use tonic::{Code, Request, Response, Status};

use crate::{
    failure::Failure,
    freshness::Stale,
    unanswered::{Excuses, Unanswered},
};

/// Rounds over all control nodes without reaching any before giving up, however much time is left: nobody is there.
const UNREACHABLE_ROUNDS: u32 = 4;
/// Rounds of a call without a time limit; with the pauses between them about half a minute, longer than any election.
const ROUNDS_MAX: u32 = 35;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The control nodes, and which of them answered last.
pub(crate) struct Client {
    nodes: Vec<(String, Channel)>,
    preferred: Cell<usize>,
    stale: RefCell<Option<Stale>>,
}

impl Client {
    /// Channels to each of `urls`; none is connected before it is used.
    ///
    /// # Errors
    /// A usage error for an address that is none, or that may not be spoken to in plaintext.
    pub(crate) fn new(dialer: &Dialer, urls: &[String]) -> Result<Self, Failure> {
        let channel = |url: &String| {
            let channel = dialer.channel(url, NodeRole::Control, Purpose::Admin);
            channel.map(|channel| (url.clone(), channel)).map_err(|failure| Failure::usage(failure.to_string()))
        };
        Ok(Self {
            nodes: urls.iter().map(channel).collect::<Result<_, _>>()?,
            preferred: Cell::new(0),
            stale: RefCell::default(),
        })
    }

    /// One unary call that changes something, repeated while `limit` lasts.
    ///
    /// # Errors
    /// The refusal, or `Exit::Unknown` when no node gave an answer in time.
    pub(crate) async fn call<Q: Clone, R>(
        &self,
        limit: Duration,
        message: Q,
        send: impl AsyncFn(Channel, Request<Q>) -> Result<Response<R>, Status>,
    ) -> Result<R, Failure> {
        self.unary(limit, message, send).await.map_err(Unanswered::of_a_change)
    }

    /// One unary call that changes nothing, repeated while `limit` lasts.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub(crate) async fn read<Q: Clone, R>(
        &self,
        limit: Duration,
        message: Q,
        send: impl AsyncFn(Channel, Request<Q>) -> Result<Response<R>, Status>,
    ) -> Result<R, Failure> {
        self.unary(limit, message, send).await.map_err(Unanswered::of_a_read)
    }

    async fn unary<Q: Clone, R>(
        &self,
        limit: Duration,
        message: Q,
        send: impl AsyncFn(Channel, Request<Q>) -> Result<Response<R>, Status>,
    ) -> Result<R, Unanswered> {
        self.rounds(Some(limit), async |channel, left| {
            let mut request = Request::new(message.clone());
            if let Some(left) = left {
                request.set_timeout(left);
            }
            let response = send(channel, request).await?;
            self.stale.replace(Stale::of(response.metadata()));
            Ok(response.into_inner())
        })
        .await
    }

    /// Where the last answer came from, if it was stale.
    pub(crate) fn stale(&self) -> Option<Stale> {
        self.stale.borrow().clone()
    }

    /// Tries one node after the other until one answers or refuses, or until `limit` has passed; none: no limit.
    ///
    /// `one` is told how long it may take; it is dropped when that has passed.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub(crate) async fn attempt<R>(
        &self,
        limit: Option<Duration>,
        one: impl AsyncFn(Channel, Option<Duration>) -> Result<R, Status>,
    ) -> Result<R, Failure> {
        self.rounds(limit, one).await.map_err(Unanswered::of_a_change)
    }

    async fn rounds<R>(
        &self,
        limit: Option<Duration>,
        one: impl AsyncFn(Channel, Option<Duration>) -> Result<R, Status>,
    ) -> Result<R, Unanswered> {
        let deadline = limit.map(|limit| Instant::now() + limit);
        let mut pause = FIRST_PAUSE;
        let mut unreachable_rounds = 0;
        let mut excuses = Excuses::default();
        for _ in 0..ROUNDS_MAX {
            let mut is_reached = false;
            for turn in 0..self.nodes.len() {
                let index = (self.preferred.get() + turn) % self.nodes.len();
                let Some(share) = self.share(deadline) else { return Err(self.gave_up(excuses)) };
                match within(share, one(self.nodes[index].1.clone(), share)).await {
                    Ok(answer) => {
                        self.preferred.set(index);
                        return Ok(answer);
                    }
                    Err(status) if !is_worth_repeating(&status) => return Err(Unanswered::Refused(status)),
                    Err(status) => {
                        is_reached |= status.source().is_none();
                        excuses.take(status);
                    }
                }
            }
            unreachable_rounds = if is_reached { 0 } else { unreachable_rounds + 1 };
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if unreachable_rounds >= UNREACHABLE_ROUNDS || left.is_some_and(|left| left.is_zero()) {
                break;
            }
            tokio::time::sleep(left.map_or(pause, |left| left.min(pause))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Err(self.gave_up(excuses))
    }

    /// What one node may have of the time that is left; `None` when there is none. With others to ask, a node that
    /// hangs gets half of it.
    fn share(&self, deadline: Option<Instant>) -> Option<Option<Duration>> {
        let Some(deadline) = deadline else { return Some(None) };
        let left = deadline.saturating_duration_since(Instant::now());
        let share = if self.nodes.len() > 1 { (left / 2).max(left.min(Duration::from_secs(1))) } else { left };
        (!left.is_zero()).then_some(Some(share))
    }

    fn gave_up(&self, excuses: Excuses) -> Unanswered {
        let urls = self.nodes.iter().map(|(url, _)| url.as_str()).collect::<Vec<_>>().join(", ");
        Unanswered::GaveUp { urls, excuses }
    }
}

async fn within<R>(share: Option<Duration>, call: impl Future<Output = Result<R, Status>>) -> Result<R, Status> {
    match share {
        None => call.await,
        Some(share) => tokio::time::timeout(share, call)
            .await
            .unwrap_or_else(|_| Err(Status::deadline_exceeded("the control node did not answer in time"))),
    }
}

/// Whether another node, or the same one a little later, may answer differently.
fn is_worth_repeating(status: &Status) -> bool {
    let code = ErrorDetails::decode(status.details()).unwrap_or_default().code;
    match (code.as_str(), status.code()) {
        ("not-leader" | "unavailable" | "outcome-unknown", _) => true,
        ("", Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled) => true,
        // A broken connection, as opposed to a node that answers so.
        ("", Code::Unknown | Code::Internal) => status.source().is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use sluice_identity::{OperatorProof, Plaintext, ServerTrust};

    use super::*;
    use crate::failure::Exit;

    fn client(urls: &[&str]) -> Client {
        let dialer = Dialer::of_operator(&ServerTrust::None, OperatorProof::None, Plaintext::LoopbackOnly).unwrap();
        Client::new(&dialer, &urls.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[tokio::test]
    async fn an_unknown_outcome_is_asked_of_the_next_node_and_a_refusal_is_not() {
        let client = client(&["http://127.0.0.1:1", "http://127.0.0.1:2"]);
        let tried = Cell::new(0);
        let answer = client
            .attempt(Some(Duration::from_secs(60)), async |_, _| {
                tried.set(tried.get() + 1);
                if tried.get() < 4 { Err(Status::unavailable("electing")) } else { Ok(tried.get()) }
            })
            .await;
        assert_eq!(answer, Ok(4));
        let refused = client
            .attempt::<()>(Some(Duration::from_secs(60)), async |_, _| {
                tried.set(tried.get() + 1);
                Err(Status::not_found("no such api"))
            })
            .await;
        assert_eq!((refused.unwrap_err().exit, tried.get()), (Exit::Failed, 5));
    }

    #[tokio::test]
    async fn the_node_that_answered_is_asked_first() {
        let client = client(&["http://127.0.0.1:1", "http://127.0.0.1:2"]);
        let tried = Cell::new(0);
        let second = async |_: Channel, _: Option<Duration>| {
            tried.set(tried.get() + 1);
            if tried.get() == 1 { Err(Status::unavailable("")) } else { Ok(()) }
        };
        client.attempt(None, second).await.unwrap();
        assert_eq!((client.preferred.get(), tried.get()), (1, 2));
    }

    #[tokio::test]
    async fn nobody_there_is_an_unknown_outcome() {
        let client = client(&["http://127.0.0.1:1"]);
        let failure = client
            .attempt(None, async |channel, _| {
                sluice_rpc::admin::cluster_client::ClusterClient::new(channel)
                    .status(sluice_proto::admin::StatusRequest { stale: true, ..Default::default() })
                    .await
            })
            .await
            .unwrap_err();
        assert_eq!((failure.exit, failure.code.as_str()), (Exit::Unknown, "unavailable"));
        assert!(failure.message.contains("no control node can be reached"), "{}", failure.message);
    }

    #[test]
    fn an_address_that_is_none_is_wrong_usage() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let dialer = Dialer::of_operator(&ServerTrust::None, OperatorProof::None, Plaintext::LoopbackOnly).unwrap();
        for url in ["nonsense", "http://10.0.0.1:7100", "https://127.0.0.1:7100"] {
            assert_eq!(Client::new(&dialer, &[url.to_owned()]).err().unwrap().exit, Exit::Usage, "{url}");
        }
    }
}
