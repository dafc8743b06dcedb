//! The route index against a matcher that looks at every route.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fixture;

use std::collections::BTreeSet;

use fixture::ApiFixture;
use proptest::prelude::*;
use sluice_compile::{Captures, CompiledApi, Verb, compile_entries};

const VERBS: [&str; 4] = ["GET", "POST", "OPTIONS", "ANY"];

/// A path of a few segments from a small alphabet, so that literals, variables and greedy ones meet often.
fn paths() -> impl Strategy<Value = String> {
    let segment = prop_oneof![
        3 => prop::sample::select(vec!["a", "b", "c.d"]).prop_map(str::to_owned),
        2 => prop::sample::select(vec!["x", "y"]).prop_map(|name| format!("{{{name}}}")),
    ];
    let greedy = prop::option::weighted(0.3, Just("{rest+}".to_owned()));
    (prop::collection::vec(segment, 0..4), greedy).prop_filter_map(
        "a name stands once in a path",
        |(mut path, greedy)| {
            path.extend(greedy);
            let names: Vec<_> = path.iter().filter(|segment| segment.starts_with('{')).collect();
            let once = names.iter().collect::<BTreeSet<_>>().len() == names.len();
            once.then(|| format!("/{}", path.join("/")))
        },
    )
}

/// Routes that do not clash: no two with the same shape declare the same verb.
fn trees() -> impl Strategy<Value = Vec<(String, Vec<&'static str>)>> {
    let verbs = prop::sample::subsequence(VERBS.to_vec(), 0..=3);
    prop::collection::vec((paths(), verbs), 0..14).prop_map(|routes| {
        let (mut taken, mut paths) = (BTreeSet::new(), BTreeSet::new());
        let mut kept = Vec::new();
        for (path, verbs) in routes {
            if paths.insert(path.clone()) {
                let shape = shape(&path);
                kept.push((path, verbs.into_iter().filter(|verb| taken.insert((shape.clone(), *verb))).collect()));
            }
        }
        kept
    })
}

fn shape(path: &str) -> String {
    let shaped = path.split('/').map(|segment| match segment {
        _ if segment.ends_with("+}") => "{+}",
        _ if segment.starts_with('{') => "{}",
        literal => literal,
    });
    shaped.collect::<Vec<_>>().join("/")
}

fn requests() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec!["a", "b", "c.d", "c%2Ed", "%61", "z", "%2F", ""]);
    (prop::collection::vec(segment, 0..5), prop::sample::select(vec!["", "/"]))
        .prop_map(|(segments, end)| format!("/{}{end}", segments.join("/")))
}

/// What AWS does, said without an index: of all routes that match and have the verb, the most specific from the left.
fn naive(routes: &[(String, Vec<&str>)], verb: Verb, request: &str) -> Option<(String, &'static str, Vec<String>)> {
    let trimmed = if request.len() > 1 { request.strip_suffix('/').unwrap_or(request) } else { request };
    let sent = trimmed.strip_prefix('/').unwrap_or(trimmed);
    let sent: Vec<&str> = if sent.is_empty() { vec![] } else { sent.split('/').collect() };
    let mut best: Option<(Vec<u8>, String, &'static str, Vec<String>)> = None;
    for (path, verbs) in routes {
        let exact = VERBS.iter().find(|known| **known == verb.as_str() && verbs.contains(known));
        let Some(declared) = exact.or(VERBS.iter().find(|known| **known == "ANY" && verbs.contains(known))) else {
            continue;
        };
        let Some((mut rank, captured)) = matches(path, &sent) else { continue };
        // Of one shape, the verb's own method is before ANY.
        rank.push(u8::from(*declared == "ANY"));
        if best.as_ref().is_none_or(|(known, ..)| rank < *known) {
            best = Some((rank, path.clone(), declared, captured));
        }
    }
    best.map(|(_, path, verb, captured)| (path, verb, captured))
}

/// How a path matches, segment by segment: 0 literal, 1 variable, 2 greedy; and what its variables hold.
fn matches(path: &str, sent: &[&str]) -> Option<(Vec<u8>, Vec<String>)> {
    let route: Vec<&str> = path.split('/').skip(1).filter(|segment| !segment.is_empty()).collect();
    let (mut rank, mut captured) = (Vec::new(), Vec::new());
    for (at, segment) in route.iter().enumerate() {
        if segment.ends_with("+}") {
            let rest = sent.get(at..).filter(|rest| !rest.is_empty())?.join("/");
            captured.push((!rest.is_empty()).then_some(rest)?);
            rank.push(2);
            return Some((rank, captured));
        }
        let given = *sent.get(at)?;
        if segment.starts_with('{') {
            captured.push((!given.is_empty()).then(|| given.to_owned())?);
            rank.push(1);
        } else {
            let decoded = given.replace("%2E", ".").replace("%61", "a");
            (given == *segment || decoded == *segment).then_some(())?;
            rank.push(0);
        }
    }
    (route.len() == sent.len()).then_some((rank, captured))
}

fn compiled(routes: &[(String, Vec<&str>)]) -> std::sync::Arc<CompiledApi> {
    let mut api = ApiFixture::empty();
    for (path, verbs) in routes {
        api.add(path, verbs);
    }
    compile_entries(&api.entries(), None, None).unwrap()
}

fn looked_up(api: &CompiledApi, verb: Verb, request: &str) -> Option<(String, &'static str, Vec<String>)> {
    let mut captures = Captures::new();
    let method = api.route(verb, request, &mut captures)?;
    assert_eq!(captures.len(), method.variables.len());
    let captured = (0..captures.len()).map(|at| captures.text(at, request).unwrap().to_owned()).collect();
    Some((method.resource_path.to_string(), method.verb.as_str(), captured))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn the_index_chooses_what_the_naive_matcher_chooses(
        routes in trees(),
        requests in prop::collection::vec(requests(), 1..12),
    ) {
        let api = compiled(&routes);
        for request in &requests {
            for verb in [Verb::Get, Verb::Post, Verb::Options, Verb::Put] {
                let expect = naive(&routes, verb, request);
                prop_assert_eq!(looked_up(&api, verb, request), expect, "{} {} in {:?}", verb, request, routes);
            }
        }
    }
}

#[test]
fn resources_that_lack_the_verb_are_passed_over_up_to_a_greedy_one_near_the_root() {
    let routes = [
        ("/{proxy+}".to_owned(), vec!["GET"]),
        ("/a".to_owned(), vec![]),
        ("/a/b".to_owned(), vec!["OPTIONS"]),
        ("/a/{x}".to_owned(), vec!["POST"]),
    ];
    let api = compiled(&routes);
    let path = |verb, request| looked_up(&api, verb, request).map(|found| found.0);
    assert_eq!(path(Verb::Options, "/a/b").as_deref(), Some("/a/b"));
    assert_eq!(path(Verb::Post, "/a/b").as_deref(), Some("/a/{x}"));
    assert_eq!(path(Verb::Get, "/a/b").as_deref(), Some("/{proxy+}"));
    assert_eq!(path(Verb::Get, "/a").as_deref(), Some("/{proxy+}"));
    assert_eq!(path(Verb::Put, "/a/b"), None);
    assert_eq!(path(Verb::Get, "/"), None);
}

#[test]
fn a_greedy_variable_holds_the_rest_as_sent_without_the_slash_at_the_end() {
    let api = compiled(&[("/files/{path+}".to_owned(), vec!["GET"])]);
    let rest = |request| looked_up(&api, Verb::Get, request).map(|found| found.2[0].clone());
    assert_eq!(rest("/files/a/b%20c/").as_deref(), Some("a/b%20c"));
    assert_eq!(rest("/files/a//b").as_deref(), Some("a//b"));
    assert_eq!(rest("/files/"), None);
    assert_eq!(rest("/files"), None);
}

#[test]
fn a_path_of_any_length_and_bytes_is_looked_up_or_refused() {
    let api = compiled(&[("/{proxy+}".to_owned(), vec!["GET"]), ("/a/%41".to_owned(), vec!["GET"])]);
    let mut captures = Captures::new();
    for path in ["", "//", "///", "/%", "/%zz/%4", &"/a".repeat(20_000), &format!("/{}", "%41".repeat(9_000))] {
        api.route(Verb::Get, path, &mut captures);
    }
    assert!(api.route(Verb::Get, &"/a".repeat(40_000), &mut captures).is_none());
    assert_eq!(looked_up(&api, Verb::Get, "/a/%41").unwrap().0, "/a/%41");
}
