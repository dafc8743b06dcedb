//! Imports under way: how many there may be, and that a node that stops waits for them.
//!
//! Promise: an import that was admitted keeps its place until nothing of it is in memory, also when its caller has hung
//! up; a caller who says nothing more is one who has. One that is not admitted is refused at once, before it is received: counted with the calls, by its code.

use std::{sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt as _};
use sluice_model::limits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use tonic::Status;

use crate::refused::{Reason, Refused};

/// A caller who is silent for longer has gone, as far as the place of his import goes: as in `raft/service/receive`.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// The imports of a node. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Imports {
    pub(crate) tasks: TaskTracker,
    places: Arc<Semaphore>,
}

/// The place of one import; it is free when the last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Default for Imports {
    fn default() -> Self {
        Self { tasks: TaskTracker::new(), places: Arc::new(Semaphore::new(limits::IMPORTS_MAX)) }
    }
}

impl Imports {
    /// A place for one more.
    ///
    /// # Errors
    /// `Capacity` when there is none.
    pub(crate) fn admit(&self) -> Result<Place, Refused> {
        let permit = self.places.clone().try_acquire_owned().map_err(|_| {
            let most = limits::IMPORTS_MAX;
            let message = format!("{most} imports are under way on this control node, and it takes no more at once");
            Refused::new(
                Reason::Capacity,
                format!("{message}; try again when one has ended, or ask another control node"),
            )
        })?;
        Ok(Place { _permit: Arc::new(permit) })
    }
}

/// The next message of an import; none at its end.
///
/// # Errors
/// `Silent` when none comes in time; `Unavailable` when the stream breaks.
pub(crate) async fn next<M>(
    requests: &mut (impl Stream<Item = Result<M, Status>> + Unpin),
) -> Result<Option<M>, Refused> {
    match tokio::time::timeout(SILENCE_MAX, requests.next()).await {
        Ok(Some(Ok(message))) => Ok(Some(message)),
        Ok(Some(Err(status))) => Err(Refused::new(Reason::Unavailable, status.message())),
        Ok(None) => Ok(None),
        Err(_) => {
            let most = SILENCE_MAX.as_secs();
            let message = format!("expected the next piece of the file, or its end, within {most} s, found neither");
            Err(Refused::new(Reason::Silent, format!("{message}; nothing was changed; send the file again")))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::pending};

    use bytes::Bytes;
    use http::{HeaderMap, Request, Response};
    use http_body_util::{BodyExt as _, Full};
    use tonic::{Code, Status, body::Body};
    use tower::ServiceExt as _;

    use super::*;
    use crate::{admin::Admin, services::routes, testing::MemoryReplica, testing::founded};

    /// Begins an import whose caller says nothing.
    async fn begin(admin: &Admin<MemoryReplica>, method: &str) -> Response<Body> {
        begin_with(admin, method, Vec::new()).await
    }

    /// Begins an import whose caller says nothing more.
    async fn begin_with(admin: &Admin<MemoryReplica>, method: &str, sent: Vec<u8>) -> Response<Body> {
        let silence = Full::new(Bytes::from(sent)).with_trailers(pending::<Option<Result<HeaderMap, Infallible>>>());
        let request = Request::post(format!("/sluice.admin.v1.{method}"))
            .header("content-type", "application/grpc")
            .body(Body::new(silence))
            .unwrap();
        routes(admin).oneshot(request).await.unwrap()
    }

    fn refusal(response: &Response<Body>) -> Option<Status> {
        Status::from_header_map(response.headers())
    }

    #[tokio::test]
    async fn an_import_beyond_the_bound_is_refused_at_once_until_another_has_ended() {
        let admin = founded();
        let mut under_way = Vec::new();
        for number in 0..limits::IMPORTS_MAX {
            let response = begin(&admin, if number % 2 == 0 { "Apis/Import" } else { "Keys/ImportCsv" }).await;
            assert!(refusal(&response).is_none());
            under_way.push(response);
        }
        for method in ["Apis/Import", "Keys/ImportCsv"] {
            let status = refusal(&begin(&admin, method).await).unwrap();
            assert_eq!(status.code(), Code::ResourceExhausted);
            assert!(status.message().contains("try again when one has ended"), "{status:?}");
        }
        // Its caller hangs up.
        drop(under_way.pop());
        let place_is_free = async {
            while admin.imports.admit().is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), place_is_free).await.unwrap();
        assert!(refusal(&begin(&admin, "Apis/Import").await).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_who_falls_silent_is_told_so_and_his_place_is_free() {
        let admin = founded();
        // The start, and a piece: frames of `ImportRequest` and of `ImportCsvRequest`, whose fields have the same numbers.
        let start: &[u8] = b"\0\0\0\0\x02\x0a\0";
        let piece: &[u8] = b"\0\0\0\0\x03\x12\x01x";
        for sent in [&[][..], start, &[start, piece].concat()] {
            for method in ["Apis/Import", "Keys/ImportCsv"] {
                let response = begin_with(&admin, method, sent.to_vec()).await;
                let trailers = response.into_body().collect().await.unwrap().trailers().cloned().unwrap();
                let status = Status::from_header_map(&trailers).unwrap();
                assert_eq!(status.code(), Code::DeadlineExceeded, "{method} after {sent:?}");
                assert!(status.message().contains("within 30 s"), "{status:?}");
            }
        }
        admin.imports.tasks.close();
        admin.imports.tasks.wait().await;
        let places: Vec<_> = (0..limits::IMPORTS_MAX).map(|_| admin.imports.admit().unwrap()).collect();
        assert_eq!(places.len(), limits::IMPORTS_MAX);
    }
}
