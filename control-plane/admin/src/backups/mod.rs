//! The service `Backups`: the state as one file, and the way back.

mod carry;
mod create;
mod feed;
mod reseal;
mod restore;
mod rewind;
mod staging;
#[cfg(test)]
mod tests;

use sluice_proto::admin::{
    CreateBackupReply, CreateBackupRequest, HistoryReply, HistoryRequest, RestoreReply, RestoreRequest, RewindRequest,
};
use sluice_rpc::admin::backups_server;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::{admin::Admin, call::Call, replica::Replica};

/// Messages on their way to a caller who reads slowly; then the work waits.
const REPLIES_MAX: usize = 16;

#[tonic::async_trait]
impl<R: Replica> backups_server::Backups for Admin<R> {
    type CreateStream = ReceiverStream<Result<CreateBackupReply, Status>>;
    type RestoreStream = ReceiverStream<Result<RestoreReply, Status>>;
    type RewindStream = ReceiverStream<Result<RestoreReply, Status>>;

    /// A caller who hangs up stops the reading of the state.
    async fn create(&self, request: Request<CreateBackupRequest>) -> Result<Response<Self::CreateStream>, Status> {
        let call = Call::of_stream(&request);
        let place = self.imports.admit()?;
        let (replies, answer) = mpsc::channel(REPLIES_MAX);
        create::create(self, &call, request.into_inner(), replies, place).await?;
        Ok(Response::new(ReceiverStream::new(answer)))
    }

    /// A caller who hangs up before the file has ended leaves nothing but rows that are forgotten; after it the restore may
    /// be carried out all the same.
    async fn restore(
        &self,
        request: Request<Streaming<RestoreRequest>>,
    ) -> Result<Response<Self::RestoreStream>, Status> {
        let call = Call::of_stream(&request);
        let place = self.imports.admit()?;
        let (replies, answer) = mpsc::channel(REPLIES_MAX);
        let admin = self.clone();
        self.imports.tasks.spawn(async move {
            let last = restore::restore(&admin, &call, request.into_inner(), &replies, place).await;
            // A caller that is gone hears nothing.
            let _ = replies.send(last.map_err(Status::from)).await;
        });
        Ok(Response::new(ReceiverStream::new(answer)))
    }

    /// As of a restore.
    async fn rewind(&self, request: Request<RewindRequest>) -> Result<Response<Self::RewindStream>, Status> {
        let call = Call::of_stream(&request);
        let place = self.imports.admit()?;
        let (replies, answer) = mpsc::channel(REPLIES_MAX);
        let admin = self.clone();
        self.imports.tasks.spawn(async move {
            let last = rewind::rewind(&admin, &call, request.into_inner(), &replies, place).await;
            // A caller that is gone hears nothing.
            let _ = replies.send(last.map_err(Status::from)).await;
        });
        Ok(Response::new(ReceiverStream::new(answer)))
    }

    async fn history(&self, _: Request<HistoryRequest>) -> Result<Response<HistoryReply>, Status> {
        Ok(Response::new(rewind::history(self).await?))
    }
}
