//! The service `Keys`: what API keys have beyond their documents.

mod batch;
mod csv;
mod import;
#[cfg(test)]
mod tests;

use sluice_proto::admin::{ImportCsvReply, ImportCsvRequest};
use sluice_rpc::admin::keys_server;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::{admin::Admin, call::Call, replica::Replica};

/// Progress messages on their way to a caller who reads slowly; then the import waits.
const REPLIES_MAX: usize = 16;

#[tonic::async_trait]
impl<R: Replica> keys_server::Keys for Admin<R> {
    type ImportCsvStream = ReceiverStream<Result<ImportCsvReply, Status>>;

    /// A caller who hangs up stops the import after the commit that is under way; sending the same again goes on.
    async fn import_csv(
        &self,
        request: Request<Streaming<ImportCsvRequest>>,
    ) -> Result<Response<Self::ImportCsvStream>, Status> {
        let call = Call::of_stream(&request);
        let place = self.imports.admit()?;
        let (replies, answer) = mpsc::channel(REPLIES_MAX);
        let admin = self.clone();
        self.imports.tasks.spawn(async move {
            let importing = import::import(&admin, &call, request.into_inner(), &replies, place);
            let last = tokio::select! {
                // Not cancel safe, and need not be: what was committed stays, and is found again by a resumed import.
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
}
