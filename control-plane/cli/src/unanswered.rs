//! Why no control node gave an answer, in the words that fit what was asked.

use std::error::Error as _;

use tonic::{ConnectError, Status, TimeoutExpired};

use crate::failure::{Exit, Failure};

/// A call without an answer.
pub(crate) enum Unanswered {
    /// A node refused it.
    Refused(Status),
    /// No node took it in time.
    GaveUp { urls: String, excuses: Excuses },
}

/// What the nodes said that did not answer.
#[derive(Default)]
pub(crate) struct Excuses {
    /// Of the last node that said something of its own.
    said: Option<Status>,
    /// Of the last that could not be reached, or did not answer in time.
    silent: Option<Status>,
    /// A request was sent that may have been done.
    is_sent: bool,
    /// A connection was made, and broke.
    is_broken: bool,
}

impl Excuses {
    pub(crate) fn take(&mut self, status: Status) {
        // The library's own deadline: the node hangs, which says nothing of its connection.
        let status = if has_cause::<TimeoutExpired>(&status) {
            self.is_sent = true;
            Status::deadline_exceeded("the control node did not answer in time")
        } else {
            status
        };
        let is_sent = !is_unsent(&status);
        self.is_sent |= is_sent;
        self.is_broken |= is_sent && status.source().is_some();
        // What has a source was found on this side of the wire; details are a control node's.
        if status.source().is_none() && !status.details().is_empty() {
            self.said = Some(status);
        } else {
            self.silent = Some(status);
        }
    }

    fn into_failure(self) -> Failure {
        let timeout = || Status::deadline_exceeded("no control node answered in time");
        Failure::of(&self.said.or(self.silent).unwrap_or_else(timeout))
    }
}

impl Unanswered {
    /// For a call that changes something: whether it did is not known unless it was never sent.
    pub(crate) fn of_a_change(self) -> Failure {
        self.into_failure("; whether it was done is not known")
    }

    /// For a call that changes nothing.
    pub(crate) fn of_a_read(self) -> Failure {
        self.into_failure("")
    }

    fn into_failure(self, what_to_do: &str) -> Failure {
        match self {
            Self::Refused(status) => status.into(),
            Self::GaveUp { urls, excuses } => {
                let Excuses { is_sent, is_broken, .. } = excuses;
                let cause = excuses.into_failure();
                let message = if is_broken && urls.contains("http://") {
                    let hint = "; if the cluster has certificates, say https:// and give --ca-file";
                    format!("{urls}: {}{what_to_do}{hint}", cause.message)
                } else if is_sent {
                    format!("{urls}: {}{what_to_do}", cause.message)
                } else {
                    let hint = "is one running, and is --control (SLUICE_CONTROL) right?";
                    format!("{urls}: no control node can be reached: {}; {hint}", cause.message)
                };
                Failure { exit: Exit::Unknown, message, ..cause }
            }
        }
    }
}

/// Whether there was no connection to send the request on.
fn is_unsent(status: &Status) -> bool {
    has_cause::<ConnectError>(status)
}

fn has_cause<E: std::error::Error + 'static>(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(inner) = cause {
        if inner.is::<E>() {
            return true;
        }
        cause = inner.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn unsent() -> Status {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        Status::from_error(Box::new(ConnectError(Box::new(refused))))
    }

    fn gave_up(excuses: impl IntoIterator<Item = Status>) -> Unanswered {
        let mut taken = Excuses::default();
        excuses.into_iter().for_each(|status| taken.take(status));
        Unanswered::GaveUp { urls: "http://a:1".to_owned(), excuses: taken }
    }

    #[test]
    fn what_was_never_sent_was_not_done() {
        let failure = gave_up([unsent(), unsent()]).of_a_change();
        assert_eq!(failure.exit, Exit::Unknown);
        assert!(failure.message.contains("no control node can be reached"), "{}", failure.message);
        assert!(!failure.message.contains("whether"), "{}", failure.message);
    }

    #[test]
    fn a_node_that_hangs_is_not_told_to_have_another_scheme() {
        let hangs = || Status::from_error(Box::new(TimeoutExpired(())));
        let expected = "http://a:1: the control node did not answer in time; whether it was done is not known";
        assert_eq!(gave_up([unsent(), hangs()]).of_a_change().message, expected);
    }

    #[test]
    fn what_a_node_said_goes_before_the_silence_of_others() {
        let said = Status::with_details(Code::Unavailable, "no leader", bytes::Bytes::from_static(&[10, 1, 120]));
        let failure = gave_up([said.clone(), unsent(), Status::deadline_exceeded("late")]).of_a_change();
        let expected = "http://a:1: no leader; whether it was done is not known";
        assert_eq!((failure.exit, failure.message.as_str()), (Exit::Unknown, expected));
        let failure = gave_up([said, unsent()]).of_a_read();
        assert_eq!(failure.message, "http://a:1: no leader");
    }
}
