//! AWS's patch paths, where they differ from the JSON field path.
//!
//! AWS: apigateway/latest/api/patch-operations.html.

/// Rewrites the raw segments of an AWS path as those of the JSON field path; other paths come back as they are.
pub(crate) fn to_json_path(message: &str, segments: Vec<String>) -> Vec<String> {
    match message {
        "Stage" => stage(segments),
        _ => segments,
    }
}

/// `{resource path}/{VERB}` and `{resource path}/{VERB}/{group}/{setting}` are method settings.
fn stage(segments: Vec<String>) -> Vec<String> {
    match segments.as_slice() {
        [resource, verb] if is_method(resource, verb) => {
            vec!["methodSettings".to_owned(), resource.clone(), verb.clone()]
        }
        [resource, verb, group, setting] if is_method(resource, verb) => match method_setting(group, setting) {
            Some(field) => vec!["methodSettings".to_owned(), resource.clone(), verb.clone(), field.to_owned()],
            None => segments,
        },
        _ => segments,
    }
}

fn is_method(resource: &str, verb: &str) -> bool {
    let path = resource == "*" || resource.starts_with("~1");
    let verb = verb == "*" || (!verb.is_empty() && verb.bytes().all(|byte| byte.is_ascii_uppercase()));
    path && verb
}

/// The field of a method setting that AWS calls `{group}/{setting}`.
fn method_setting(group: &str, setting: &str) -> Option<&'static str> {
    Some(match (group, setting) {
        ("metrics", "enabled") => "metricsEnabled",
        ("logging", "loglevel") => "loggingLevel",
        ("logging", "dataTrace") => "dataTraceEnabled",
        ("throttling", "burstLimit") => "throttlingBurstLimit",
        ("throttling", "rateLimit") => "throttlingRateLimit",
        ("caching", "enabled") => "cachingEnabled",
        ("caching", "ttlInSeconds") => "cacheTtlInSeconds",
        ("caching", "dataEncrypted") => "cacheDataEncrypted",
        ("caching", "requireAuthorizationForCacheControl") => "requireAuthorizationForCacheControl",
        ("caching", "unauthorizedCacheControlHeaderStrategy") => "unauthorizedCacheControlHeaderStrategy",
        _ => return None,
    })
}

/// Settings of methods as AWS's paths name them, for hints.
pub(crate) fn known_paths(message: &str) -> Vec<String> {
    let groups = [
        "metrics/enabled",
        "logging/loglevel",
        "logging/dataTrace",
        "throttling/burstLimit",
        "throttling/rateLimit",
        "caching/enabled",
        "caching/ttlInSeconds",
        "caching/dataEncrypted",
        "caching/requireAuthorizationForCacheControl",
        "caching/unauthorizedCacheControlHeaderStrategy",
    ];
    match message {
        "Stage" => groups.iter().map(|group| format!("{{name}}/{{name}}/{group}")).collect(),
        _ => Vec::new(),
    }
}
