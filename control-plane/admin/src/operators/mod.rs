//! The service `Operators`: who drives the cluster, and by which tokens and certificates.
//!
//! Promise: a token is shown once and kept as its hash; asking again with the same request id shows the same one. Each
//! operator has one token and at most one certificate that are good: a new one makes the one before worthless. Absent:
//! what a role may call (`sluice_identity::roles`).

mod carried;
mod certify;
mod create;
mod known;
mod list;
mod newcomer;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use sluice_identity::{LOCAL, OperatorRole, Role, roles};
use sluice_proto::{
    admin::{
        CertifyOperatorReply, CertifyOperatorRequest, CreateOperatorReply, CreateOperatorRequest, DeleteOperatorReply,
        DeleteOperatorRequest, ListOperatorsReply, ListOperatorsRequest, OperatorLine, RotateOperatorReply,
        RotateOperatorRequest,
    },
    raft::{Command, DeleteOperator, Operator, command},
};
use sluice_rpc::admin::operators_server;
use sluice_state::{Tables, View};
use tonic::{Request, Response, Status};

pub(crate) use carried::{carried, with_shown};
pub use known::KnownOperators;
use known::again;
pub use newcomer::{NewcomerLayer, Newcomers};

use crate::{
    admin::Admin,
    call::Call,
    propose::{here, now_ms},
    refused::{Reason, Refused},
    replica::Replica,
};

#[tonic::async_trait]
impl<R: Replica> operators_server::Operators for Admin<R> {
    async fn create(&self, request: Request<CreateOperatorRequest>) -> Result<Response<CreateOperatorReply>, Status> {
        let call = Call::of(&request);
        Ok(Response::new(create::create(self, &call, request.into_inner()).await?))
    }

    async fn list(&self, request: Request<ListOperatorsRequest>) -> Result<Response<ListOperatorsReply>, Status> {
        let call = Call::of(&request);
        Ok(list::list(self, &call, request.into_inner()).await?)
    }

    async fn delete(&self, request: Request<DeleteOperatorRequest>) -> Result<Response<DeleteOperatorReply>, Status> {
        let call = Call::of(&request);
        Ok(Response::new(delete(self, &call, request.into_inner()).await?))
    }

    async fn rotate(&self, request: Request<RotateOperatorRequest>) -> Result<Response<RotateOperatorReply>, Status> {
        let call = Call::of(&request);
        Ok(Response::new(create::rotate(self, &call, request.into_inner()).await?))
    }

    async fn certify(
        &self,
        request: Request<CertifyOperatorRequest>,
    ) -> Result<Response<CertifyOperatorReply>, Status> {
        let call = Call::of(&request);
        Ok(Response::new(certify::certify(self, &call, request.into_inner()).await?))
    }
}

/// Refuses a caller whose role is less than `least`; `what` is what it asked for.
pub(crate) fn require(call: &Call, least: OperatorRole, what: &str) -> Result<(), Refused> {
    match call.role {
        Role::Operator(role) if role >= least => Ok(()),
        role => Err(Refused::new(Reason::Denied, roles::lacking(what, least, role))),
    }
}

/// Refuses a caller whose token or certificate is good no longer, or whose role is less than when its call was taken.
pub(crate) fn still_known<T: Tables>(view: &View<T>, call: &Call) -> Result<(), Refused> {
    match call.role {
        Role::Operator(role) if call.actor != LOCAL => match again(view, &call.actor, &call.shown) {
            Some(known) if known.role >= role => Ok(()),
            _ => Err(Refused::new(
                Reason::Denied,
                format!("operator {} has shown a token or a certificate that is good no longer", call.actor),
            )),
        },
        Role::Operator(_) | Role::Control | Role::Data | Role::Anonymous => Ok(()),
    }
}

async fn delete<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    message: DeleteOperatorRequest,
) -> Result<DeleteOperatorReply, Refused> {
    let request = call.request_id(&message.request_id, &message)?;
    let stamp = call.stamp(now_ms(admin.replica.view().stamp()), Some(request));
    let command = DeleteOperator { stamp: Some(stamp), name: message.name };
    here(&admin.replica, Command { kind: Some(command::Kind::DeleteOperator(command)) }, call.deadline).await?;
    Ok(DeleteOperatorReply {})
}

fn line(operator: Operator) -> OperatorLine {
    OperatorLine {
        name: operator.name,
        role: operator.role,
        expires_ms: operator.expires_ms,
        created_ms: operator.created_ms,
        created_by: operator.created_by,
        token_made_ms: operator.token_made_ms,
        certificate_serial: operator.certificate_serial,
        certificate_expires_ms: operator.certificate_expires_ms,
    }
}
