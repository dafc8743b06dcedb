//! Lists of operators.

use sluice_identity::{BOOTSTRAP, OperatorRole};
use sluice_proto::admin::{ListOperatorsReply, ListOperatorsRequest, OperatorLine};
use sluice_state::{Tables, View};
use tonic::Response;

use super::line;
use crate::{
    admin::Admin,
    call::Call,
    config::{PageToken, fresh_view},
    read,
    refused::Refused,
    replica::Replica,
};

/// Lists operators by name, without their tokens; the token that was made with the cluster is one of them.
pub(super) async fn list<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    message: ListOperatorsRequest,
) -> Result<Response<ListOperatorsReply>, Refused> {
    let size = read::page_size(message.page_size)?;
    let after = PageToken::parse(message.page_token.as_deref())?.and_then(|token| token.0.into_iter().next());
    let view = fresh_view(&admin.replica, call, message.stale).await?;
    let mut lines: Vec<OperatorLine> = view.operators().into_iter().map(line).chain(bootstrap(&view)).collect();
    lines.sort_by(|one, other| one.name.cmp(&other.name));
    lines.retain(|line| after.as_ref().is_none_or(|after| line.name > *after));
    if let Some(name) = &message.name {
        lines.retain(|line| line.name == *name);
        if lines.is_empty() {
            return Err(Refused::not_found(format!("operator {name} does not exist")));
        }
    }
    let more = lines.len() > size;
    lines.truncate(size);
    let last = lines.last().filter(|_| more);
    let next_page_token = last.map(|line| PageToken(vec![line.name.clone()]).to_text()).unwrap_or_default();
    let reply = ListOperatorsReply { items: lines, next_page_token };
    Ok(admin.answer(message.stale, view.number(), reply))
}

/// The token that was made with the cluster, until it is deleted.
pub(super) fn bootstrap<T: Tables>(view: &View<T>) -> Option<OperatorLine> {
    let cluster = view.cluster().filter(|cluster| !cluster.bootstrap_token_hash.is_empty())?;
    Some(OperatorLine {
        name: BOOTSTRAP.to_owned(),
        role: OperatorRole::Admin.as_str().to_owned(),
        created_ms: cluster.founded_ms,
        created_by: BOOTSTRAP.to_owned(),
        token_made_ms: cluster.founded_ms,
        ..OperatorLine::default()
    })
}
