//! Looks routes up in an API of a given size: `route-lookup ROUTES LOOKUPS`, for callgrind.

use std::hint::black_box;

use anyhow::{Result, ensure};
use prost::Message as _;
use sluice_compile::{Captures, CompiledApi, Entry, Verb, compile_entries};
use sluice_model::Digest;
use sluice_proto::{
    model::{Integration, Method, Resource, RestApi},
    raft::Table,
};

/// Paths looked up in turn, spread over the API.
const PATHS: usize = 1_000;

fn main() -> Result<()> {
    let arguments: Vec<usize> = std::env::args().skip(1).map(|text| text.parse()).collect::<Result<_, _>>()?;
    let [routes, lookups] = arguments[..] else { anyhow::bail!("usage: route-lookup ROUTES LOOKUPS") };
    let entries = entries(routes);
    let api = compile_entries(&entries, None, None).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    let paths: Vec<String> = (0..PATHS).map(|index| path(index * 7_919 % routes).replace("{id}", "1234567")).collect();
    let found = look_up(&api, &paths, lookups);
    ensure!(found == lookups, "{found} of {lookups} lookups found their route");
    Ok(())
}

/// The measured part: callgrind collects inside this function only. A loop without closures, whose names would begin with
/// this one's and turn the collecting off again.
#[inline(never)]
fn look_up(api: &CompiledApi, paths: &[String], lookups: usize) -> usize {
    let verb = Verb::parse("GET").unwrap_or(Verb::ALL[0]);
    let mut captures = Captures::default();
    let mut found = 0;
    for path in paths.iter().cycle().take(lookups) {
        found += usize::from(black_box(api.route(verb, path, &mut captures)).is_some());
    }
    found
}

/// Three levels, forty groups, a variable at the end: the shape of GitHub's API.
fn path(number: usize) -> String {
    format!("/group{}/sub{number}/{{id}}", number % 40)
}

fn entries(routes: usize) -> Vec<Entry> {
    let api = RestApi { level: 1, id: "bench".into(), name: "bench".into(), ..Default::default() };
    let mut entries = vec![entry(Table::RestApi, vec!["bench".into()], &api.encode_to_vec())];
    for number in 0..routes {
        let id = format!("r{number}");
        let resource =
            Resource { level: 1, id: id.clone(), api_id: "bench".into(), path: path(number), ..Default::default() };
        let integration =
            Integration { r#type: "HTTP_PROXY".into(), uri: Some("http://127.0.0.1:1/".into()), ..Default::default() };
        let method = Method {
            level: 1,
            api_id: "bench".into(),
            resource_id: id.clone(),
            http_method: "GET".into(),
            method_integration: Some(integration),
            ..Default::default()
        };
        entries.push(entry(Table::Resource, vec!["bench".into(), id.clone()], &resource.encode_to_vec()));
        entries.push(entry(Table::Method, vec!["bench".into(), id, "GET".into()], &method.encode_to_vec()));
    }
    entries
}

fn entry(table: Table, key: Vec<String>, bytes: &[u8]) -> Entry {
    Entry { table, key, digest: Digest::of(bytes), bytes: bytes.to_vec().into() }
}
