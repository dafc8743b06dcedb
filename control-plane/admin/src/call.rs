//! Who calls, until when, and under which request id.

use std::time::{Duration, Instant};

use prost::Message;
use sluice_identity::{Peer, Role, Shown};
use sluice_proto::raft::{AuditCall, RequestId, Stamp};
use uuid::Uuid;

use crate::{audit::Origin, refused::Refused};

/// A call without a deadline of its own ends after this.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// An import without a deadline of its own ends after this.
const STREAM_TIMEOUT_DEFAULT: Duration = Duration::from_secs(3_600);
/// The last of a deadline that is kept for the way back.
const WAY_BACK: Duration = Duration::from_millis(50);
/// Bytes of a UUID.
const REQUEST_ID_BYTES: usize = 16;

/// The request id that the node which took the call made for it; a request extension.
#[derive(Debug, Clone)]
pub(crate) struct CarriedRequestId(pub(crate) Vec<u8>);

/// What a handler knows of a call beside its message.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// What commands carry.
    pub(crate) actor: String,
    /// The node that calls; none for others.
    pub(crate) node_id: Option<String>,
    /// What the caller may do.
    pub(crate) role: Role,
    /// By what an operator has proved who it is.
    pub(crate) shown: Shown,
    /// When the caller stops waiting.
    pub(crate) deadline: Instant,
    carried: Option<Vec<u8>>,
    /// Where it came from; none for a call that came by no port.
    origin: Option<Origin>,
}

impl Call {
    /// Reads metadata and extensions of a request.
    pub(crate) fn of<T>(request: &tonic::Request<T>) -> Self {
        let peer = request.extensions().get().cloned().unwrap_or_else(Peer::anonymous);
        let Peer { actor, node_id, role, shown, .. } = peer;
        let timeout = request.metadata().get("grpc-timeout").and_then(|value| timeout_of(value.to_str().ok()?));
        let carried = request.extensions().get::<CarriedRequestId>().map(|id| id.0.clone());
        let origin = request.extensions().get::<Origin>().cloned();
        let deadline = Instant::now() + timeout.unwrap_or(TIMEOUT_DEFAULT);
        Self { actor, node_id, role, shown, deadline, carried, origin }
    }

    /// As [`Call::of`], for a stream: one without a deadline may take long.
    pub(crate) fn of_stream<T>(request: &tonic::Request<T>) -> Self {
        let call = Self::of(request);
        match request.metadata().get("grpc-timeout") {
            Some(_) => call,
            None => Self { deadline: Instant::now() + STREAM_TIMEOUT_DEFAULT, ..call },
        }
    }

    /// The stamp of a command that the call causes.
    pub(crate) fn stamp(&self, time_ms: u64, request: Option<RequestId>) -> Stamp {
        Stamp { actor: self.actor.clone(), time_ms, request, audit: self.audited() }
    }

    /// What the audit trail says of the call.
    pub(crate) fn audited(&self) -> Option<AuditCall> {
        let Origin { address, taken_by, method } = self.origin.clone()?;
        Some(AuditCall { role: self.role.as_str().to_owned(), address, taken_by, method, ..AuditCall::default() })
    }

    /// The request id of `message`: the caller's (`id`), else the one made where the call arrived, else a new one.
    ///
    /// # Errors
    /// `Invalid` for an id that is no UUIDv7.
    pub(crate) fn request_id(&self, id: &[u8], message: &impl Message) -> Result<RequestId, Refused> {
        let hash = blake3::hash(&message.encode_to_vec());
        self.request_id_of(id, hash.as_bytes())
    }

    /// As [`Call::request_id`], with the hash of what was received.
    pub(crate) fn request_id_of(&self, id: &[u8], hash: &[u8]) -> Result<RequestId, Refused> {
        let id = match (id, &self.carried) {
            ([], Some(carried)) => carried.clone(),
            ([], None) => new_request_id(),
            (given, _) => given.to_vec(),
        };
        let is_v7 = Uuid::from_slice(&id).is_ok_and(|uuid| uuid.get_version_num() == 7);
        if !is_v7 {
            let found =
                if id.len() == REQUEST_ID_BYTES { "another version".to_owned() } else { format!("{} bytes", id.len()) };
            let message = format!("expected a UUIDv7 of 16 bytes, found {found}");
            return Err(Refused::invalid("requestId", message, "make one, or leave it out"));
        }
        Ok(RequestId { id: id.into(), hash: hash.to_vec().into() })
    }
}

/// A new request id.
pub(crate) fn new_request_id() -> Vec<u8> {
    Uuid::now_v7().into_bytes().to_vec()
}

/// Parses gRPC's `grpc-timeout`: up to eight digits and a unit.
pub(crate) fn timeout_of(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// When to stop waiting, so that an answer can still reach a caller who waits until `deadline`.
pub(crate) fn leave_by(deadline: Instant) -> Instant {
    let left = deadline.saturating_duration_since(Instant::now());
    deadline - WAY_BACK.min(left / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        assert_eq!(timeout_of("100m"), Some(Duration::from_millis(100)));
        assert_eq!(timeout_of("2S"), Some(Duration::from_secs(2)));
        for wrong in ["", "m", "10", "123456789S", "1x", "é"] {
            assert_eq!(timeout_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_request_id_is_a_uuid_of_version_7() {
        let call = Call::of(&tonic::Request::new(()));
        assert_eq!(call.request_id(&[], &()).unwrap().id.len(), 16);
        assert!(call.request_id(b"short", &()).is_err());
        assert!(call.request_id(Uuid::new_v4().as_bytes(), &()).is_err());
        let given = new_request_id();
        assert_eq!(call.request_id(&given, &()).unwrap().id, given);
    }
}
