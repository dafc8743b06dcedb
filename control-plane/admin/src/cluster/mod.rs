//! The service `Cluster`: its members, join tokens, nodes that join and go, their certificates, and the cluster key.

mod join;
mod members;
mod named;
mod renew;
mod status;
mod token;

use sluice_proto::admin::{
    CreateTokenReply, CreateTokenRequest, DemoteRequest, JoinReply, JoinRequest, ListTokensReply, ListTokensRequest,
    MembersReply, PromoteRequest, RemoveNodeRequest, RenewReply, RenewRequest, RevokeTokenReply, RevokeTokenRequest,
    RotateKeyReply, RotateKeyRequest, StatusReply, StatusRequest, TransferLeaderReply, TransferLeaderRequest,
};
use sluice_rpc::admin::cluster_server;
use tonic::{Request, Response, Status};

pub(crate) use self::named::{Named, named};
#[cfg(test)]
pub(crate) use self::token::create as create_token;
use crate::{admin::Admin, call::Call, replica::Replica, rotation};

#[tonic::async_trait]
impl<R: Replica> cluster_server::Cluster for Admin<R> {
    async fn status(&self, request: Request<StatusRequest>) -> Result<Response<StatusReply>, Status> {
        let call = Call::of(&request);
        Ok(status::status(self, &call, request.get_ref()).await?)
    }

    async fn create_token(&self, request: Request<CreateTokenRequest>) -> Result<Response<CreateTokenReply>, Status> {
        let call = Call::of(&request);
        Ok(Response::new(token::create(self, &call, request.into_inner()).await?))
    }

    async fn list_tokens(&self, request: Request<ListTokensRequest>) -> Result<Response<ListTokensReply>, Status> {
        let call = Call::of(&request);
        Ok(token::list(self, &call, request.into_inner()).await?)
    }

    async fn revoke_token(&self, request: Request<RevokeTokenRequest>) -> Result<Response<RevokeTokenReply>, Status> {
        let call = Call::of(&request);
        Ok(Response::new(token::revoke(self, &call, request.into_inner()).await?))
    }

    async fn rotate_key(&self, request: Request<RotateKeyRequest>) -> Result<Response<RotateKeyReply>, Status> {
        let call = Call::of(&request);
        Ok(Response::new(rotation::begin(self, &call, request.into_inner()).await?))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewReply>, Status> {
        let call = Call::of(&request);
        Ok(Response::new(renew::renew(self, &call, request.into_inner()).await?))
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinReply>, Status> {
        let call = Call::of(&request);
        Ok(Response::new(join::join(self, &call, request.into_inner()).await?))
    }

    async fn promote(&self, request: Request<PromoteRequest>) -> Result<Response<MembersReply>, Status> {
        let call = Call::of(&request);
        Ok(Response::new(members::promote(self, &call, request.into_inner()).await?))
    }

    async fn demote(&self, request: Request<DemoteRequest>) -> Result<Response<MembersReply>, Status> {
        let call = Call::of(&request);
        Ok(Response::new(members::demote(self, &call, request.into_inner()).await?))
    }

    async fn remove_node(&self, request: Request<RemoveNodeRequest>) -> Result<Response<MembersReply>, Status> {
        let call = Call::of(&request);
        Ok(Response::new(members::remove(self, &call, request.into_inner()).await?))
    }

    async fn transfer_leader(
        &self,
        request: Request<TransferLeaderRequest>,
    ) -> Result<Response<TransferLeaderReply>, Status> {
        let call = Call::of(&request);
        Ok(Response::new(members::transfer(self, &call, request.into_inner()).await?))
    }
}
