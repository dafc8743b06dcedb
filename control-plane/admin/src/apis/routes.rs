//! `Apis.ListRoutes`: every method of an API, by path and verb.

use std::collections::BTreeMap;

use sluice_proto::{
    admin::{ListRoutesReply, ListRoutesRequest, RouteLine},
    model::{Method, Resource},
};
use sluice_state::{Tables, View};
use tonic::Response;

use crate::{
    admin::Admin,
    call::Call,
    config::{PageToken, fresh_view},
    read,
    refused::{Reason, Refused},
    replica::Replica,
};

/// Lists the routes of the editable API.
pub(super) async fn list<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    message: ListRoutesRequest,
) -> Result<Response<ListRoutesReply>, Refused> {
    let size = read::page_size(message.page_size)?;
    let after = PageToken::parse(message.page_token.as_deref())?.map(|token| token.0);
    let view = fresh_view(&admin.replica, call, message.stale).await?;
    if !read::api_exists(&view, &message.api_id) {
        return Err(Refused::not_found(format!("api {} does not exist", message.api_id)));
    }
    let (stale, number) = (message.stale, view.number());
    let listing = tokio::task::spawn_blocking(move || page(&view, &message.api_id, after, size));
    let reply = listing.await.map_err(|error| Refused::new(Reason::Unavailable, format!("listing ended: {error}")))?;
    Ok(admin.answer(stale, number, reply))
}

fn page<T: Tables>(view: &View<T>, api_id: &str, after: Option<Vec<String>>, size: usize) -> ListRoutesReply {
    let resources = read::all_of_api::<Resource, _>(view, api_id);
    let paths: BTreeMap<&str, &str> =
        resources.iter().map(|one| (one.document.id.as_str(), one.document.path.as_str())).collect();
    let methods = read::all_of_api::<Method, _>(view, api_id).into_iter().map(|found| found.document);
    let mut lines: Vec<RouteLine> = methods
        .map(|method| {
            let path = paths.get(method.resource_id.as_str()).copied().unwrap_or_default();
            line(path, method)
        })
        .collect();
    lines.sort_by(|left, right| (&left.path, &left.http_method).cmp(&(&right.path, &right.http_method)));
    lines.retain(|line| after.as_deref().is_none_or(|after| place(line).as_slice() > after));
    let more = lines.len() > size;
    lines.truncate(size);
    let last = lines.last().filter(|_| more);
    let next_page_token = last.map(|line| PageToken(place(line)).to_text()).unwrap_or_default();
    ListRoutesReply { items: lines, next_page_token }
}

fn place(line: &RouteLine) -> Vec<String> {
    vec![line.path.clone(), line.http_method.clone()]
}

fn line(path: &str, method: Method) -> RouteLine {
    let integration = method.method_integration.unwrap_or_default();
    RouteLine {
        path: path.to_owned(),
        http_method: method.http_method,
        resource_id: method.resource_id,
        integration_type: integration.r#type,
        uri: integration.uri.unwrap_or_default(),
        api_key_required: method.api_key_required.unwrap_or(false),
        authorization_type: method.authorization_type.unwrap_or_else(|| "NONE".to_owned()),
        operation_name: method.operation_name.unwrap_or_default(),
    }
}
