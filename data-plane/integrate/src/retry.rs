//! When a request may be sent a second time: one pure decision.
//!
//! Promise: no request whose method is not idempotent reaches a backend twice, and none is tried a third time.

use http::Method;

/// What is known of an attempt that ended without a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    /// The connection had carried an exchange before, so that it may have died while idle.
    pub(crate) reused: bool,
    /// Bytes of the request that the connection took.
    pub(crate) sent: u64,
    /// Bytes of a response that came.
    pub(crate) received: u64,
    /// The request is still there from its first byte.
    pub(crate) replayable: bool,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    SendAgain,
    GiveUp,
}

/// Decides for one attempt.
pub(crate) fn verdict(method: &Method, ended: Ended) -> Verdict {
    let died_idle = ended.reused && ended.received == 0;
    // RFC 9110, section 9.2.2: a client may repeat what it knows was never applied, and idempotent methods.
    let harmless = ended.sent == 0 || method.is_idempotent();
    if died_idle && harmless && ended.replayable { Verdict::SendAgain } else { Verdict::GiveUp }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_harmless_is_sent_again() {
        use Verdict::{GiveUp, SendAgain};
        let died = Ended { reused: true, sent: 90, received: 0, replayable: true };
        let cases: [(&str, &str, Ended, Verdict); 15] = [
            ("RFC 9112, 9.3.1: idempotent, connection closed before any response", "GET", died, SendAgain),
            ("RFC 9110, 9.2.2: safe methods are idempotent", "HEAD", died, SendAgain),
            ("RFC 9110, 9.2.2: safe methods are idempotent", "OPTIONS", died, SendAgain),
            ("RFC 9110, 9.2.2: safe methods are idempotent", "TRACE", died, SendAgain),
            ("RFC 9110, 9.2.2: PUT is idempotent", "PUT", died, SendAgain),
            ("RFC 9110, 9.2.2: DELETE is idempotent", "DELETE", died, SendAgain),
            ("RFC 9110, 9.2.2: POST is not, and bytes were sent", "POST", died, GiveUp),
            ("RFC 5789, 2: PATCH is not, and bytes were sent", "PATCH", died, GiveUp),
            ("RFC 9110, 9.2.2: an unknown method is not", "BREW", died, GiveUp),
            (
                "RFC 9110, 9.2.2: known not to be applied, for nothing was sent",
                "POST",
                Ended { sent: 0, ..died },
                SendAgain,
            ),
            ("RFC 9112, 9.3.1: a response had begun", "GET", Ended { received: 1, ..died }, GiveUp),
            ("RFC 9112, 9.3.1: not an idle connection that died", "GET", Ended { reused: false, ..died }, GiveUp),
            ("RFC 9112, 9.3.1: the body is gone", "PUT", Ended { replayable: false, ..died }, GiveUp),
            ("RFC 9110, 9.2.2: nothing sent, but a response", "GET", Ended { sent: 0, received: 9, ..died }, GiveUp),
            (
                "RFC 9110, 9.2.2: a new connection that closes is an answer",
                "POST",
                Ended { sent: 0, reused: false, ..died },
                GiveUp,
            ),
        ];
        for (section, method, ended, expected) in cases {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(verdict(&method, ended), expected, "{section}: {method} {ended:?}");
        }
    }
}
