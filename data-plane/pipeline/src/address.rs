//! Which API and stage a request addresses: forms 2 to 4 of a deployed API's addresses.
//!
//! Promise: reads borrowed text only and allocates nothing, but for a host written with capital letters.
//! Absent: custom domains (form 1) and whether the API exists; `route` asks the snapshot.

use std::borrow::Cow;
use std::ops::Range;

/// The second label of every default host name.
const EXECUTE_API: &str = "execute-api";
/// The path form for tests and laptops.
const PATH_FORM: &str = "/_aws/execute-api/";
/// The path form that other emulators made known.
const USER_REQUEST_FORM: &str = "/restapis/";
const USER_REQUEST: &str = "_user_request_";

/// Who may address an API by path instead of by host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PathAddresses {
    /// Every client.
    On,
    /// Clients on loopback.
    #[default]
    Loopback,
    /// Nobody.
    Off,
}

/// Whether the path forms count for this client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathForms {
    /// The path may name API and stage.
    Read,
    /// Only the host may.
    Ignored,
}

/// An API and a stage as the request names them; neither need exist.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Address<'a> {
    /// The id of the API, lower case.
    pub(crate) api_id: Cow<'a, str>,
    /// The stage's segment; empty when the path has none.
    pub(crate) stage: &'a str,
    /// Where the path below the stage lies in the request's path; empty for "nothing follows the stage".
    pub(crate) rest: Range<usize>,
}

/// Finds the address of a request by the first form that fits.
///
/// `host` may carry a port.
pub(crate) fn locate<'a>(host: &'a str, path: &'a str, forms: PathForms) -> Option<Address<'a>> {
    if let Some(api_id) = api_of_host(host) {
        let (stage, rest) = segment(path, usize::from(path.starts_with('/')));
        return Some(Address { api_id, stage: &path[stage], rest });
    }
    if forms == PathForms::Ignored {
        return None;
    }
    if path.starts_with(PATH_FORM) {
        let (api, rest) = segment(path, PATH_FORM.len());
        let (stage, rest) = next_segment(path, rest)?;
        return Some(Address { api_id: Cow::Borrowed(&path[api]), stage: &path[stage], rest });
    }
    if path.starts_with(USER_REQUEST_FORM) {
        let (api, rest) = segment(path, USER_REQUEST_FORM.len());
        let (stage, rest) = next_segment(path, rest)?;
        let (marker, rest) = next_segment(path, rest)?;
        let named = &path[marker] == USER_REQUEST;
        return named.then(|| Address { api_id: Cow::Borrowed(&path[api]), stage: &path[stage], rest });
    }
    None
}

/// Reads `{api-id}` from `{api-id}.execute-api.{anything}`; host names do not tell case apart.
fn api_of_host(host: &str) -> Option<Cow<'_, str>> {
    let (label, after) = host.split_once('.')?;
    let suffix = after.get(..EXECUTE_API.len())?;
    let dotted = after.as_bytes().get(EXECUTE_API.len()) == Some(&b'.');
    let named = after.len() > EXECUTE_API.len() + 1;
    if !suffix.eq_ignore_ascii_case(EXECUTE_API) || !dotted || !named || label.is_empty() {
        return None;
    }
    match label.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Some(Cow::Owned(label.to_ascii_lowercase())),
        false => Some(Cow::Borrowed(label)),
    }
}

/// The segment that begins at `from`, and what follows it with its leading slash.
fn segment(path: &str, from: usize) -> (Range<usize>, Range<usize>) {
    let end = path[from..].find('/').map_or(path.len(), |at| from + at);
    (from..end, end..path.len())
}

/// The segment behind the slash at which `rest` begins.
fn next_segment(path: &str, rest: Range<usize>) -> Option<(Range<usize>, Range<usize>)> {
    path[rest.clone()].starts_with('/').then(|| segment(path, rest.start + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: &str, path: &str, expect: Option<(&str, &str, &str)>) {
        let found = locate(host, path, PathForms::Read);
        let found = found.map(|a| (a.api_id.into_owned(), a.stage.to_owned(), path[a.rest].to_owned()));
        let expect = expect.map(|(api, stage, rest)| (api.to_owned(), stage.to_owned(), rest.to_owned()));
        assert_eq!(found, expect, "{host} {path}");
    }

    #[test]
    fn each_form_names_api_stage_and_the_rest_of_the_path() {
        check("abc.execute-api.localhost:8080", "/dev/pets/1", Some(("abc", "dev", "/pets/1")));
        check("abc.execute-api.eu-west-1.amazonaws.com", "/dev", Some(("abc", "dev", "")));
        check("ABC.Execute-API.localhost", "/dev/", Some(("abc", "dev", "/")));
        check("abc.execute-api.localhost", "/", Some(("abc", "", "")));
        check("abc.execute-api.localhost", "/_aws/execute-api/x/y", Some(("abc", "_aws", "/execute-api/x/y")));
        check("127.0.0.1:8080", "/_aws/execute-api/abc/dev/pets", Some(("abc", "dev", "/pets")));
        check("localhost", "/_aws/execute-api/abc/dev", Some(("abc", "dev", "")));
        check("localhost", "/restapis/abc/dev/_user_request_/pets/", Some(("abc", "dev", "/pets/")));
        check("localhost", "/restapis/abc/dev/_user_request_", Some(("abc", "dev", "")));
    }

    #[test]
    fn anything_else_is_no_address() {
        for (host, path) in [
            ("localhost", "/pets"),
            ("abc.execute-api", "/dev"),
            ("abc.execute-api.", "/dev"),
            (".execute-api.localhost", "/dev"),
            ("abc.execute-apix.localhost", "/dev"),
            ("localhost", "/_aws/execute-api/abc"),
            ("localhost", "/restapis/abc/dev/pets"),
            ("localhost", "/restapis/abc/dev"),
        ] {
            check(host, path, None);
        }
    }

    #[test]
    fn path_forms_that_are_off_are_not_read() {
        assert_eq!(locate("localhost", "/_aws/execute-api/abc/dev/pets", PathForms::Ignored), None);
        assert!(locate("abc.execute-api.localhost", "/dev", PathForms::Ignored).is_some());
    }
}
