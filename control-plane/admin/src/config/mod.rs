//! The service `Config`: every document of the model, by one set of calls.

mod apply;
mod change;
mod export;
mod get;
mod list;
mod page;
mod replay;
#[cfg(test)]
mod tests;

use sluice_proto::admin::{
    ApplyReply, ApplyRequest, ChangeReply, ChangeRequest, ExportReply, ExportRequest, GetReply, GetRequest, ListReply,
    ListRequest,
};
use sluice_rpc::admin::config_server;
use tonic::{Request, Response, Status};

pub(crate) use page::{PageToken, fresh_view};

use crate::{admin::Admin, call::Call, replica::Replica};

#[tonic::async_trait]
impl<R: Replica> config_server::Config for Admin<R> {
    async fn change(&self, request: Request<ChangeRequest>) -> Result<Response<ChangeReply>, Status> {
        let call = Call::of(&request);
        Ok(Response::new(change::change(self, &call, request.into_inner()).await?))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetReply>, Status> {
        let call = Call::of(&request);
        Ok(get::get(self, &call, request.into_inner()).await?)
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListReply>, Status> {
        let call = Call::of(&request);
        Ok(list::list(self, &call, request.into_inner()).await?)
    }

    async fn apply(&self, request: Request<ApplyRequest>) -> Result<Response<ApplyReply>, Status> {
        let call = Call::of(&request);
        Ok(Response::new(apply::apply(self, &call, request.into_inner()).await?))
    }

    async fn export(&self, request: Request<ExportRequest>) -> Result<Response<ExportReply>, Status> {
        let call = Call::of(&request);
        Ok(export::export(self, &call, request.into_inner()).await?)
    }
}
