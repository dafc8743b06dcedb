//! Operators that are made, and their tokens.

use std::time::Duration;

use sluice_identity::{BOOTSTRAP, OperatorRole, Secret, check_operator_name, operator_token, token_hash};
use sluice_proto::{
    admin::{CreateOperatorReply, CreateOperatorRequest, OperatorLine, RotateOperatorReply, RotateOperatorRequest},
    raft::{ChangeOperator, Command, CreateOperator, Operator, RequestId, command},
};

use super::{line, list};
use crate::{
    admin::Admin,
    call::Call,
    propose::{here, now_ms},
    refused::{Reason, Refused},
    replica::Replica,
};

/// The longest time that an operator is made for; longer is without an end.
const TTL_MAX: Duration = Duration::from_secs(10 * 366 * 86_400);

pub(super) async fn create<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    message: CreateOperatorRequest,
) -> Result<CreateOperatorReply, Refused> {
    let request = call.request_id(&message.request_id, &message)?;
    check_operator_name(&message.name).map_err(|text| Refused::invalid("name", text, ""))?;
    let role = OperatorRole::parse(&message.role).ok_or_else(|| {
        let text = format!("expected admin, deployer or viewer, found `{}`", message.role);
        Refused::invalid("role", text, crate::nearest::did_you_mean(&message.role, ["admin", "deployer", "viewer"]))
    })?;
    let ttl_ms = message.ttl_seconds.map(|ttl| ttl_ms(ttl, TTL_MAX)).transpose()?;
    let token = token(admin, call, &request)?;
    let time_ms = now_ms(admin.replica.view().stamp());
    let operator = Operator {
        name: message.name.clone(),
        role: role.as_str().to_owned(),
        token_hash: token_hash(token.expose()).as_bytes().to_vec().into(),
        expires_ms: ttl_ms.map_or(0, |ttl| time_ms + ttl),
        created_ms: time_ms,
        created_by: call.actor.clone(),
        token_made_ms: time_ms,
        ..Operator::default()
    };
    let command = CreateOperator { stamp: Some(call.stamp(time_ms, Some(request))), operator: Some(operator) };
    here(&admin.replica, Command { kind: Some(command::Kind::CreateOperator(command)) }, call.deadline).await?;
    let operator = kept(admin, &message.name, &token)?;
    Ok(CreateOperatorReply { operator: Some(operator), token: token.expose().clone() })
}

/// A new token in place of the one before.
pub(super) async fn rotate<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    message: RotateOperatorRequest,
) -> Result<RotateOperatorReply, Refused> {
    let request = call.request_id(&message.request_id, &message)?;
    let token = token(admin, call, &request)?;
    let time_ms = now_ms(admin.replica.view().stamp());
    let hash = token_hash(token.expose()).as_bytes().to_vec();
    let command = ChangeOperator {
        stamp: Some(call.stamp(time_ms, Some(request))),
        name: message.name.clone(),
        token_hash: Some(hash.into()),
        certificate: None,
    };
    here(&admin.replica, Command { kind: Some(command::Kind::ChangeOperator(command)) }, call.deadline).await?;
    let operator = kept(admin, &message.name, &token)?;
    Ok(RotateOperatorReply { operator: Some(operator), token: token.expose().clone() })
}

/// The token that a request makes.
fn token<R: Replica>(admin: &Admin<R>, call: &Call, request: &RequestId) -> Result<Secret<String>, Refused> {
    let key = admin.tools.secrets.keys().get(&admin.replica.view().sealing_key());
    let key =
        key.ok_or_else(|| Refused::new(Reason::Unavailable, "this node has yet to get the cluster key; ask again"))?;
    Ok(operator_token(&key, &call.actor, &request.id))
}

/// The operator as it is kept, while `token` is its token: a replay may be told of one that is worthless by now.
fn kept<R: Replica>(admin: &Admin<R>, name: &str, token: &Secret<String>) -> Result<OperatorLine, Refused> {
    let view = admin.replica.view();
    let hash = token_hash(token.expose());
    let found = match name {
        BOOTSTRAP => list::bootstrap(&view)
            .filter(|_| view.cluster().is_some_and(|cluster| cluster.bootstrap_token_hash == hash.as_bytes()[..])),
        _ => view.operator(name).filter(|operator| operator.token_hash == hash.as_bytes()[..]).map(line),
    };
    found.ok_or_else(|| {
        let message = "the token that this request made is worthless by now; make another, with a new request id";
        Refused::new(Reason::Expired, message)
    })
}

/// A time to live in milliseconds.
pub(super) fn ttl_ms(seconds: u64, most: Duration) -> Result<u64, Refused> {
    if (1..=most.as_secs()).contains(&seconds) {
        return Ok(seconds * 1_000);
    }
    let text = format!("expected 1 s to {} days, found {seconds} s", most.as_secs() / 86_400);
    Err(Refused::invalid("ttlSeconds", text, ""))
}
