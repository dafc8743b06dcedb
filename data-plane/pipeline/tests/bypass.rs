//! No other spelling of a request goes around a limit or a key.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod fixture;
mod rig;

use fixture::{Api, Board, Rows, limited_stage, mock, stage};
use http::Request;
use http::request::Builder;
use rig::{HOST, Rig, on_a_core};

const KEY: &str = "enabled-key-000000000";
const OTHER_KEY: &str = "other-key-00000000000";

fn get(path: &str) -> Builder {
    Request::get(path).header("host", HOST)
}

fn at(host: &str, path: &str) -> Builder {
    Request::get(path).header("host", host)
}

fn overridden(verb: &str, word: &str) -> Builder {
    Request::builder().method(verb).uri("/dev/pets").header("host", HOST).header("x-http-method-override", word)
}

#[test]
fn every_spelling_of_a_path_and_verb_has_the_same_bucket_or_no_route() {
    on_a_core(async || {
        let mut rows = Rows::default();
        let pets = Api::new("pets").method("GET", "/pets", mock("200", "pets")).method("PUT", "/x", mock("200", "x"));
        rows.deploy(&pets, limited_stage(0.001, 1));
        let rig = Rig::new(Board::of(&rows));
        assert_eq!(rig.status_of(get("/dev/pets")).await, 200);
        let cases = [
            ("again", get("/dev/pets"), 429),
            ("a query", get("/dev/pets?a=1"), 429),
            ("a slash at the end", get("/dev/pets/"), 429),
            ("an encoded letter", get("/dev/%70ets"), 429),
            ("every letter encoded", get("/dev/%70%65%74%73"), 429),
            ("an absolute target", Request::get(format!("http://{HOST}/dev/pets")), 429),
            ("a host in capitals", at("PETS.Execute-API.LOCALHOST", "/dev/pets"), 429),
            ("a host with a port", at("pets.execute-api.localhost:8080", "/dev/pets"), 429),
            ("another suffix", at("pets.execute-api.example.com", "/dev/pets"), 429),
            ("by path", at("localhost", "/_aws/execute-api/pets/dev/pets"), 429),
            ("by the other path", at("localhost", "/restapis/pets/dev/_user_request_/pets"), 429),
            ("overridden", overridden("POST", "GET"), 429),
            ("overridden in small letters", overridden("PUT", "get"), 429),
            ("overridden by no verb", overridden("GET", "BREW"), 429),
            ("overridden by what the resource lacks", overridden("GET", "HEAD"), 403),
            ("a slash more before", get("//dev/pets"), 403),
            ("a slash more within", get("/dev//pets"), 403),
            ("two slashes at the end", get("/dev/pets//"), 403),
            ("capitals", get("/dev/PETS"), 403),
            ("a stage in capitals", get("/DEV/pets"), 403),
            ("an encoded stage", get("/%64ev/pets"), 403),
            ("an encoded slash", get("/dev%2Fpets"), 403),
            ("an encoded slash at the end", get("/dev/pets%2F"), 403),
            ("encoded twice", get("/dev/%2570ets"), 403),
            ("a path parameter", get("/dev/pets;a=b"), 403),
            ("a dot segment", get("/dev/./pets"), 403),
            ("a way back", get("/dev/x/../pets"), 403),
            ("an encoded way back", get("/dev/x/%2e%2e/pets"), 403),
            ("a NUL", get("/dev/pets%00"), 403),
        ];
        for (what, request, expect) in cases {
            assert_eq!(rig.status_of(request).await, expect, "{what}");
        }
    });
}

#[test]
fn all_verbs_of_an_any_method_have_one_bucket() {
    on_a_core(async || {
        let mut rows = Rows::default();
        rows.deploy(&Api::new("pets").method("ANY", "/pets", mock("200", "pets")), limited_stage(0.001, 1));
        let rig = Rig::new(Board::of(&rows));
        assert_eq!(rig.status_of(get("/dev/pets")).await, 200);
        for verb in ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"] {
            assert_eq!(rig.status_of(Request::builder().method(verb).uri("/dev/pets").header("host", HOST)).await, 429);
            assert_eq!(rig.status_of(overridden("GET", verb)).await, 429, "overridden by {verb}");
        }
    });
}

#[test]
fn a_key_is_needed_under_every_verb_and_spelling() {
    on_a_core(async || {
        let mut rows = Rows::default();
        let pets = Api::new("pets")
            .keyed_method("ANY", "/pets", mock("200", "keyed"))
            .keyed_method("POST", "/mixed", mock("200", "keyed"))
            .method("GET", "/mixed", mock("200", "open"));
        rows.deploy(&pets, stage()).plan("plan", &[("pets", "dev")], None).key("k1", KEY, true, &["plan"]);
        let rig = Rig::new(Board::of(&rows));
        for verb in ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"] {
            let request = || Request::builder().method(verb).uri("/dev/pets").header("host", HOST);
            assert_eq!(rig.status_of(request()).await, 403, "{verb}");
            assert_eq!(rig.status_of(request().header("x-api-key", KEY)).await, 200, "{verb} with the key");
            assert_eq!(rig.status_of(overridden("GET", verb)).await, 403, "overridden by {verb}");
        }
        let mixed = |verb: &str| Request::builder().method(verb).uri("/dev/mixed").header("host", HOST);
        assert_eq!(rig.status_of(mixed("GET")).await, 200);
        assert_eq!(rig.status_of(mixed("GET").header("x-http-method-override", "POST")).await, 403);
        assert_eq!(rig.status_of(mixed("POST").header("x-http-method-override", "GET")).await, 200, "it is a GET");
    });
}

#[test]
fn a_caller_has_one_key_and_spells_it_exactly() {
    on_a_core(async || {
        let mut rows = Rows::default();
        rows.deploy(&Api::new("pets").keyed_method("GET", "/pets", mock("200", "pets")), stage());
        rows.plan("plan", &[("pets", "dev")], None);
        rows.key("k1", KEY, true, &["plan"]).key("k2", OTHER_KEY, true, &["plan"]);
        let rig = Rig::new(Board::of(&rows));
        let (capitals, list, trailing, padded) =
            (KEY.to_uppercase(), format!("{KEY}, {OTHER_KEY}"), format!("{KEY},"), format!("{KEY}\u{a0}"));
        let cases: [(&str, &[&str], u16); 12] = [
            ("the key", &[KEY], 200),
            ("no key", &[], 403),
            ("an empty one", &[""], 403),
            ("capitals", &[&capitals], 403),
            ("part of it", &[&KEY[..20]], 403),
            ("a list", &[&list], 403),
            ("a comma behind it", &[&trailing], 403),
            ("a space that is none of HTTP's", &[&padded], 403),
            ("two, of which the first is wrong", &["wrong-key-00000000000", KEY], 403),
            ("two, of which the second is wrong", &[KEY, "wrong-key-00000000000"], 403),
            ("two that are right", &[KEY, OTHER_KEY], 403),
            ("one, twice", &[KEY, KEY], 403),
        ];
        for (what, keys, expect) in cases {
            let request = keys.iter().fold(get("/dev/pets"), |request, key| request.header("X-API-Key", *key));
            assert_eq!(rig.status_of(request).await, expect, "{what}");
        }
        assert_eq!(rig.status_of(get(&format!("/dev/pets?x-api-key={KEY}"))).await, 403, "in the query");
        assert_eq!(rig.status_of(get("/dev/pets").header("authorization", KEY)).await, 403, "in another header");
    });
}

#[test]
fn a_key_in_several_plans_has_the_limit_of_the_plan_of_the_stage() {
    on_a_core(async || {
        let mut rows = Rows::default();
        let keyed = |id: &str| Api::new(id).keyed_method("GET", "/pets", mock("200", "pets"));
        rows.deploy(&keyed("pets"), stage()).deploy(&keyed("shop"), stage());
        rows.plan("narrow", &[("pets", "dev")], Some((0.001, 1))).plan("wide", &[("shop", "dev")], Some((0.001, 3)));
        rows.key("k1", KEY, true, &["wide", "narrow"]);
        let rig = Rig::new(Board::of(&rows));
        let ask = async |api: &str| {
            rig.status_of(at(&format!("{api}.execute-api.localhost"), "/dev/pets").header("x-api-key", KEY)).await
        };
        assert_eq!([ask("pets").await, ask("pets").await], [200, 429]);
        assert_eq!([ask("shop").await, ask("shop").await, ask("shop").await, ask("shop").await], [200, 200, 200, 429]);
        assert_eq!(ask("pets").await, 429, "the wide plan lends it nothing");
    });
}
