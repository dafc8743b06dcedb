//! The settings of a stage: limits of its methods, and what cannot be switched on yet.

use std::collections::BTreeMap;

use sluice_limit::Limit;
use sluice_model::{Diagnostic, Diagnostics};
use sluice_proto::model::{MethodSetting, Stage};

use crate::{
    NOT_SUPPORTED_YET,
    method::{CompiledMethod, check_level},
    plan::{limit_from, method_place},
    verb::{MethodVerb, Verb},
};

/// The place that stands for every method without settings of its own.
const EVERY: &str = "*/*";

/// Limits of a stage, by method.
#[derive(Debug, Default)]
pub(crate) struct StageLimits {
    every: Option<Limit>,
    /// By path; `None` is ANY.
    methods: BTreeMap<String, Vec<(Option<Verb>, Limit)>>,
}

/// The limits of one method.
pub(crate) struct MethodLimits {
    pub(crate) all: Option<Limit>,
    pub(crate) verbs: Box<[(Verb, Limit)]>,
}

impl StageLimits {
    pub(crate) fn of(stage: &Stage) -> Self {
        let every = stage.method_settings.get(EVERY);
        let mut limits = Self { every: every.and_then(limit_of), methods: BTreeMap::new() };
        for (place, setting) in &stage.method_settings {
            let Some(limit) = limit_within(setting, every) else { continue };
            if let Some((path, verb)) = method_place(place) {
                limits.methods.entry(path).or_default().push((verb, limit));
            }
        }
        limits
    }

    /// The limits of a method: its own, else the ones for all. An ANY method takes those of single verbs too.
    pub(crate) fn method(&self, method: &CompiledMethod) -> MethodLimits {
        let own = self.methods.get(&*method.resource_path).map_or(&[][..], Vec::as_slice);
        let wanted = if let MethodVerb::Exact(verb) = method.verb { Some(verb) } else { None };
        let all = own.iter().find(|(verb, _)| *verb == wanted).map(|(_, limit)| *limit).or(self.every);
        let verbs = own.iter().filter_map(|(verb, limit)| verb.map(|verb| (verb, *limit)));
        MethodLimits { all, verbs: if wanted.is_none() { verbs.collect() } else { Box::default() } }
    }
}

fn limit_of(setting: &MethodSetting) -> Option<Limit> {
    limit_from(setting.throttling_rate_limit, setting.throttling_burst_limit)
}

/// The limit of a method that sets a number of its own; the other, where it is missing, is the one for all methods.
fn limit_within(setting: &MethodSetting, every: Option<&MethodSetting>) -> Option<Limit> {
    let (rate, burst) = (setting.throttling_rate_limit, setting.throttling_burst_limit);
    if rate.is_none() && burst.is_none() {
        return None;
    }
    limit_from(rate.or_else(|| every?.throttling_rate_limit), burst.or_else(|| every?.throttling_burst_limit))
}

/// Checks a stage's own settings; paths of diagnostics begin at the stage.
pub(crate) fn check_stage(stage: &Stage, problems: &mut Diagnostics) {
    check_level(stage.level, problems);
    let mut refuse = |at: &str, message: &str, hint: &'static str| {
        problems.push(Diagnostic::error(NOT_SUPPORTED_YET, at, message).hint(hint));
    };
    if stage.web_acl_arn.is_some() {
        refuse("webAclArn", "web ACLs are not evaluated yet", "remove it: serving without it would open the API");
    }
    if stage.client_certificate_id.is_some() {
        refuse("clientCertificateId", "backends are not shown a certificate yet", "remove it");
    }
    for (place, setting) in &stage.method_settings {
        let at = format!("methodSettings[{place:?}]");
        check_setting(&at, setting, problems);
        if place != EVERY && method_place(place).is_none() {
            let message = format!("expected */* or PATH/VERB with ~1 for / in the path, found {place:?}");
            problems.error("invalid-place", at, message);
        }
    }
    let mut ignored = |at: &str, message: &str| problems.warning(NOT_SUPPORTED_YET, at, message);
    if stage.access_log_settings.is_some() {
        ignored("accessLogSettings", "access logs are not written yet");
    }
    if stage.tracing_enabled == Some(true) {
        ignored("tracingEnabled", "traces are not written yet");
    }
}

fn check_setting(at: &str, setting: &MethodSetting, problems: &mut Diagnostics) {
    if setting.caching_enabled == Some(true) {
        let refused =
            Diagnostic::error(NOT_SUPPORTED_YET, format!("{at}.cachingEnabled"), "answers are not cached yet");
        problems.push(refused.hint("set it to false"));
    }
    let logs = setting.logging_level.as_deref().is_some_and(|level| level != "OFF");
    if logs || setting.data_trace_enabled == Some(true) {
        problems.warning(NOT_SUPPORTED_YET, format!("{at}.loggingLevel"), "execution logs are not written yet");
    }
}
