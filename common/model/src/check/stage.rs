//! Stages: a named address of a deployment, and its settings.

use std::collections::BTreeMap;

use sluice_proto::model::{MethodSetting, Stage};

use super::{
    checker::{Checker, at_key},
    resource::path,
    text::{VERBS, is_stage_variable_name, is_stage_variable_value},
};
use crate::{Diagnostics, ids::StageName, limits};

/// Gigabytes of a cache, as AWS names them.
const CACHE_SIZES: [&str; 8] = ["0.5", "1.6", "6.1", "13.5", "28.4", "58.2", "118", "237"];
/// Seconds for which an answer may be cached, most. AWS: 3,600.
const CACHE_TTL_SECONDS_MAX: i32 = 3600;

/// Checks a stage. AWS: CreateStage, UpdateStage.
pub fn check(stage: &Stage) -> Diagnostics {
    let mut checker = Checker::of_level(stage.level);
    if let Err(problem) = StageName::parse(&stage.stage_name) {
        checker.error("invalid-name", "stageName", problem.to_string());
    }
    checker.required("deploymentId", &stage.deployment_id);
    checker.description(stage.description.as_ref());
    variables("variables", &stage.variables, &mut checker);
    checker.map_size("methodSettings", &stage.method_settings);
    for (key, setting) in &stage.method_settings {
        let at = at_key("methodSettings", key);
        if !is_setting_key(key) {
            let message = format!("expected */* or a path and a verb such as ~1pets/GET, found {key:?}");
            checker.error("invalid-method", &at, message);
        }
        method_setting(&at, setting, &mut checker);
    }
    if let Some(canary) = &stage.canary_settings {
        checker.required("canarySettings.deploymentId", &canary.deployment_id);
        checker.range("canarySettings.percentTraffic", canary.percent_traffic, 0.0, 100.0);
        variables("canarySettings.stageVariableOverrides", &canary.stage_variable_overrides, &mut checker);
    }
    checker.optional_one_of("cacheClusterSize", stage.cache_cluster_size.as_ref(), &CACHE_SIZES);
    if let Some(format) = stage.access_log_settings.as_ref().and_then(|settings| settings.format.as_ref()) {
        checker.text("accessLogSettings.format", format, limits::TEMPLATE_BYTES_MAX);
    }
    checker.tags(&stage.tags);
    checker.finish()
}

fn variables(at: &str, variables: &BTreeMap<String, String>, checker: &mut Checker) {
    if variables.len() > limits::STAGE_VARIABLES_MAX {
        let message = format!("expected at most {} variables", limits::STAGE_VARIABLES_MAX);
        checker.error("too-many", at, message);
    }
    for (name, value) in variables {
        if !is_stage_variable_name(name) {
            let message = format!("expected a name of letters, digits and _, found {name:?}");
            checker.error("invalid-name", at_key(at, name), message);
        }
        if !is_stage_variable_value(value) {
            let message = format!(
                "expected 1 to {} characters of A-Z a-z 0-9 - . _ ~ : / ? # & = , found another value",
                limits::STAGE_VARIABLE_VALUE_CHARS_MAX
            );
            checker.error("invalid-value", at_key(at, name), message);
        }
    }
}

/// Whether `key` names a method of a stage's settings: `*/*`, or a path with `/` as `~1`, then `/` and a verb or `*`.
pub fn is_setting_key(key: &str) -> bool {
    let Some((escaped, verb)) = key.rsplit_once('/') else { return false };
    let path_fits =
        escaped == "*" || (!escaped.contains('/') && is_path(&escaped.replace("~1", "/").replace("~0", "~")));
    path_fits && (verb == "*" || VERBS.contains(&verb))
}

/// Whether `key` names a method of a usage plan's throttle: a path, then `/` and a verb or `*`. The root is `//GET`.
pub fn is_method_key(key: &str) -> bool {
    key.rsplit_once('/').is_some_and(|(path, verb)| {
        (path.is_empty() || path == "*" || is_path(path)) && (verb == "*" || VERBS.contains(&verb))
    })
}

fn is_path(text: &str) -> bool {
    // AWS writes the path without its first slash, too: `pets/GET` in Swagger extensions.
    !text.is_empty() && (path(text).is_empty() || (!text.starts_with('/') && path(&format!("/{text}")).is_empty()))
}

fn method_setting(at: &str, setting: &MethodSetting, checker: &mut Checker) {
    let field = |name: &str| format!("{at}.{name}");
    checker.optional_one_of(&field("loggingLevel"), setting.logging_level.as_ref(), &["OFF", "ERROR", "INFO"]);
    checker.burst(&field("throttlingBurstLimit"), setting.throttling_burst_limit);
    checker.rate(&field("throttlingRateLimit"), setting.throttling_rate_limit);
    checker.range(&field("cacheTtlInSeconds"), setting.cache_ttl_in_seconds, 0, CACHE_TTL_SECONDS_MAX);
    checker.optional_one_of(
        &field("unauthorizedCacheControlHeaderStrategy"),
        setting.unauthorized_cache_control_header_strategy.as_ref(),
        &["FAIL_WITH_403", "SUCCEED_WITH_RESPONSE_HEADER", "SUCCEED_WITHOUT_RESPONSE_HEADER"],
    );
}

#[cfg(test)]
mod tests {
    use sluice_proto::model::CanarySettings;

    use super::*;

    fn stage() -> Stage {
        Stage { stage_name: "prod".to_owned(), deployment_id: "abc123".to_owned(), ..Stage::default() }
    }

    fn found(stage: &Stage) -> Vec<String> {
        check(stage).into_iter().map(|found| found.at).collect()
    }

    #[test]
    fn a_named_stage_with_a_deployment_passes() {
        assert!(found(&stage()).is_empty());
        assert_eq!(found(&Stage::default()), ["stageName", "deploymentId"]);
    }

    #[test]
    fn setting_keys_are_star_or_escaped_path_and_verb() {
        for good in ["*/*", "~1/GET", "~1pets/GET", "~1pets~1{id}/*", "~1a~1{b+}/ANY", "pets/GET"] {
            assert!(is_setting_key(good), "{good}");
        }
        for bad in ["", "*", "/pets/GET", "~1pets/get", "~1pets", "~1{a+}~1b/GET", "~1a b/GET"] {
            assert!(!is_setting_key(bad), "{bad}");
        }
    }

    #[test]
    fn plan_method_keys_are_path_and_verb() {
        for good in ["/pets/GET", "/pets/{id}/POST", "//GET", "/a/*"] {
            assert!(is_method_key(good), "{good}");
        }
        for bad in ["", "GET", "/pets", "/pets/get", "/a b/GET"] {
            assert!(!is_method_key(bad), "{bad}");
        }
    }

    #[test]
    fn settings_have_their_ranges() {
        let setting = MethodSetting {
            logging_level: Some("DEBUG".to_owned()),
            throttling_burst_limit: Some(0),
            throttling_rate_limit: Some(2e6),
            cache_ttl_in_seconds: Some(3601),
            ..MethodSetting::default()
        };
        let wrong = Stage { method_settings: [("*/*".to_owned(), setting)].into(), ..stage() };
        let fields = ["loggingLevel", "throttlingBurstLimit", "throttlingRateLimit", "cacheTtlInSeconds"];
        assert_eq!(found(&wrong), fields.map(|field| format!("methodSettings[\"*/*\"].{field}")));
    }

    #[test]
    fn variables_and_canary_are_checked() {
        let wrong = Stage {
            variables: [("a-b".to_owned(), "x".to_owned()), ("ok".to_owned(), "has space".to_owned())].into(),
            canary_settings: Some(CanarySettings { percent_traffic: Some(101.0), ..CanarySettings::default() }),
            ..stage()
        };
        assert_eq!(
            found(&wrong),
            ["variables[\"a-b\"]", "variables[\"ok\"]", "canarySettings.deploymentId", "canarySettings.percentTraffic"]
        );
    }
}
