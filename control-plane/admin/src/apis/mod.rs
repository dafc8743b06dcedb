//! The service `Apis`: what APIs have beyond their documents.

mod import;
mod inflate;
mod routes;
#[cfg(test)]
mod tests;

use sluice_proto::admin::{ImportReply, ImportRequest, ListRoutesReply, ListRoutesRequest};
use sluice_rpc::admin::apis_server;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::{admin::Admin, call::Call, replica::Replica};

/// Progress messages on their way to a caller who reads slowly; then the import waits.
const REPLIES_MAX: usize = 16;

#[tonic::async_trait]
impl<R: Replica> apis_server::Apis for Admin<R> {
    type ImportStream = ReceiverStream<Result<ImportReply, Status>>;

    /// The import ends with its call: a caller who hangs up stops it at its next step, before the commit or after it.
    async fn import(&self, request: Request<Streaming<ImportRequest>>) -> Result<Response<Self::ImportStream>, Status> {
        let call = Call::of_stream(&request);
        let place = self.imports.admit()?;
        let (replies, answer) = mpsc::channel(REPLIES_MAX);
        let admin = self.clone();
        self.imports.tasks.spawn(async move {
            let importing = import::import(&admin, &call, request.into_inner(), &replies, place);
            // A caller that is gone does not wait for the answer.
            let last = tokio::select! {
                // Not cancel safe, and need not be: what was uploaded is trimmed, what was committed stays.
                result = importing => result.map_err(Status::from),
                () = tokio::time::sleep_until(call.deadline.into()) => {
                    Err(Status::deadline_exceeded("the import did not end before the deadline; give it more time"))
                }
                () = replies.closed() => return,
            };
            let _ = replies.send(last).await;
        });
        Ok(Response::new(ReceiverStream::new(answer)))
    }

    async fn list_routes(&self, request: Request<ListRoutesRequest>) -> Result<Response<ListRoutesReply>, Status> {
        let call = Call::of(&request);
        Ok(routes::list(self, &call, request.into_inner()).await?)
    }
}
