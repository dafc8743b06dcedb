//! `Config.List`: documents of one kind, a page at a time.

use sluice_proto::{
    admin::{ListReply, ListRequest, Stored},
    model::{Document, Kind, Ref, document},
    raft::Table,
};
use sluice_state::{Tables, View};
use tonic::Response;

use crate::{
    admin::Admin,
    call::Call,
    config::{PageToken, fresh_view},
    noun::{Noun as _, Place},
    plan::without_secrets,
    read,
    refused::Refused,
    replica::Replica,
};

/// Lists documents in the order of their keys.
pub(super) async fn list<R: Replica>(
    admin: &Admin<R>,
    call: &Call,
    message: ListRequest,
) -> Result<Response<ListReply>, Refused> {
    let kind = message.kind();
    let place = Place::of(kind)
        .ok_or_else(|| Refused::invalid("kind", "expected the kind of the documents to list, found none", ""))?;
    let parent_fits = message.parent.len() == place.parent_len
        && (message.parent.is_empty() || sluice_model::part::key_is_valid(&message.parent));
    if !parent_fits {
        let expected = match (place.parent_len, place.table) {
            (0, _) => "nothing",
            (_, Table::PlanKey) => "the id of a usage plan",
            _ => "the id of an api",
        };
        let message = format!("expected {expected}, found [{}]", message.parent.join(", "));
        return Err(Refused::invalid("parent", message, ""));
    }
    let size = read::page_size(message.page_size)?;
    let after = PageToken::parse(message.page_token.as_deref())?.map(|token| token.0);
    let view = fresh_view(&admin.replica, call, message.stale).await?;
    parent_exists(&view, &message.parent, place)?;
    let (items, next) = match &message.name {
        Some(name) => named(&view, kind, place, &message.parent, name, after.as_deref(), size),
        None => all(&view, kind, place, &message.parent, after.as_deref(), size),
    };
    let next_page_token = next.map(|key| PageToken(key).to_text()).unwrap_or_default();
    let reply = ListReply { items, next_page_token, revision: Some(view.revision().into()) };
    Ok(admin.answer(message.stale, view.number(), reply))
}

fn parent_exists<T: Tables>(view: &View<T>, parent: &[String], place: Place) -> Result<(), Refused> {
    let Some(id) = parent.first() else { return Ok(()) };
    let (there, noun) = match place.table {
        Table::PlanKey => (read::plan(view, id).is_some(), "usage plan"),
        _ => (read::api_exists(view, id), "api"),
    };
    if there { Ok(()) } else { Err(Refused::not_found(format!("{noun} {id} does not exist"))) }
}

type Paged = (Vec<Stored>, Option<Vec<String>>);

fn all<T: Tables>(
    view: &View<T>,
    kind: Kind,
    place: Place,
    parent: &[String],
    after: Option<&[String]>,
    size: usize,
) -> Paged {
    let page = view.list(place.table, parent, after, size);
    let next = page.items.last().filter(|_| page.more).map(|(key, _)| key.clone());
    let items = page.items.into_iter().filter_map(|(key, stored)| {
        let document = read::enveloped(kind, &stored)?;
        Some(line(kind, key, document, stored.version))
    });
    (items.collect(), next)
}

/// Documents of one name: by the index where there is one, else by looking at all that the API holds.
fn named<T: Tables>(
    view: &View<T>,
    kind: Kind,
    place: Place,
    parent: &[String],
    name: &str,
    after: Option<&[String]>,
    size: usize,
) -> Paged {
    let indexed = matches!(place.table, Table::RestApi | Table::ApiKey | Table::Plan);
    let mut keys: Vec<Vec<String>> = if indexed {
        view.by_name(place.table, name)
    } else {
        let page = view.list(place.table, parent, None, usize::MAX - 1);
        let is_named = |stored: &sluice_state::Stored| {
            read::enveloped(kind, stored).is_some_and(|document| name_of(&document) == Some(name))
        };
        page.items.into_iter().filter(|(_, stored)| is_named(stored)).map(|(key, _)| key).collect()
    };
    keys.retain(|key| after.is_none_or(|after| key.as_slice() > after));
    let next = keys.get(size).and_then(|_| keys.get(size - 1)).cloned();
    keys.truncate(size);
    let items = keys.into_iter().filter_map(|key| {
        let (document, version) = read::document(view, kind, &key)?;
        Some(line(kind, key, document, version))
    });
    (items.collect(), next)
}

fn name_of(document: &Document) -> Option<&str> {
    use document::Kind as Of;
    Some(match document.kind.as_ref()? {
        Of::RestApi(one) => one.name(),
        Of::Resource(one) => &one.path,
        Of::Method(one) => &one.http_method,
        Of::Model(one) => one.name(),
        Of::RequestValidator(one) => one.name(),
        Of::Authorizer(one) => one.name(),
        Of::GatewayResponse(one) => &one.response_type,
        Of::Deployment(one) => &one.id,
        Of::Stage(one) => one.name(),
        Of::ApiKey(one) => one.name(),
        Of::UsagePlan(one) => one.name(),
        Of::UsagePlanKey(one) => &one.key_id,
    })
}

fn line(kind: Kind, ids: Vec<String>, document: Document, version: u64) -> Stored {
    let document = match document.kind {
        Some(document::Kind::ApiKey(key)) => without_secrets(key).into_document(),
        kind => Document { kind },
    };
    Stored { r#ref: Some(Ref { kind: kind.into(), ids }), document: Some(document), version }
}
