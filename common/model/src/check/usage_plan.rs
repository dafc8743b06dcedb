//! Usage plans: which stages, how fast, how much.

use std::collections::BTreeSet;

use sluice_proto::model::{ApiStage, QuotaSettings, UsagePlan};

use super::{
    checker::{Checker, at_key},
    stage::is_method_key,
};
use crate::{Diagnostics, ids::StageName, limits};

/// Checks a usage plan. AWS: CreateUsagePlan.
pub fn check(plan: &UsagePlan) -> Diagnostics {
    let mut checker = Checker::of_level(plan.level);
    checker.name("name", &plan.name);
    checker.description(plan.description.as_ref());
    if let Some(throttle) = &plan.throttle {
        checker.throttle("throttle", throttle);
    }
    if let Some(quota) = &plan.quota {
        check_quota(quota, &mut checker);
    }
    if plan.api_stages.len() > limits::ROW_REFS_MAX {
        let message = format!("expected at most {} stages, found {}", limits::ROW_REFS_MAX, plan.api_stages.len());
        checker.error("too-many", "apiStages", message);
    }
    let mut seen = BTreeSet::new();
    for (index, attached) in plan.api_stages.iter().enumerate() {
        let at = format!("apiStages[{index}]");
        if !seen.insert((&attached.api_id, &attached.stage)) {
            let message = format!("expected each stage once, found {}:{} twice", attached.api_id, attached.stage);
            checker.error("duplicate-stage", &at, message);
        }
        api_stage(&at, attached, &mut checker);
    }
    if let Some(code) = &plan.product_code {
        checker.text("productCode", code, limits::NAME_CHARS_MAX);
    }
    checker.tags(&plan.tags);
    checker.finish()
}

fn check_quota(quota: &QuotaSettings, checker: &mut Checker) {
    match quota.limit {
        None => checker.error("required", "quota.limit", "expected a number of requests, found none"),
        Some(limit) => checker.range("quota.limit", Some(limit), 0, i64::MAX),
    }
    match quota.period.as_deref() {
        None => checker.error("required", "quota.period", "expected DAY, WEEK or MONTH, found none"),
        Some(period) => checker.one_of("quota.period", period, &["DAY", "WEEK", "MONTH"]),
    }
    // AWS: the days after the beginning of the period at which counting begins.
    let offset_max = match quota.period.as_deref() {
        Some("WEEK") => 6,
        Some("MONTH") => 27,
        _ => 0,
    };
    checker.range("quota.offset", quota.offset, 0, offset_max);
}

fn api_stage(at: &str, attached: &ApiStage, checker: &mut Checker) {
    checker.required(&format!("{at}.apiId"), &attached.api_id);
    if let Err(problem) = StageName::parse(&attached.stage) {
        checker.error("invalid-name", format!("{at}.stage"), problem.to_string());
    }
    let throttles = format!("{at}.throttle");
    checker.map_size(&throttles, &attached.throttle);
    for (method, throttle) in &attached.throttle {
        let entry = at_key(&throttles, method);
        if !is_method_key(method) {
            let message = format!("expected PATH/VERB such as /pets/{{id}}/GET, found {method:?}");
            checker.error("invalid-method", &entry, message);
        }
        checker.throttle(&entry, throttle);
    }
}

#[cfg(test)]
mod tests {
    use sluice_proto::model::ThrottleSettings;

    use super::*;

    fn plan() -> UsagePlan {
        UsagePlan { name: "gold".to_owned(), ..UsagePlan::default() }
    }

    fn found(plan: &UsagePlan) -> Vec<String> {
        check(plan).into_iter().map(|found| found.at).collect()
    }

    #[test]
    fn rates_and_bursts_have_their_ranges() {
        let with = |rate, burst| UsagePlan {
            throttle: Some(ThrottleSettings { rate_limit: Some(rate), burst_limit: Some(burst) }),
            ..plan()
        };
        assert!(found(&with(1.0 / 3600.0, 1)).is_empty());
        assert!(found(&with(1_000_000.0, i32::MAX)).is_empty());
        assert_eq!(found(&with(0.0, 0)), ["throttle.rateLimit", "throttle.burstLimit"]);
        assert_eq!(found(&with(f64::NAN, 1)), ["throttle.rateLimit"]);
    }

    #[test]
    fn a_quota_has_limit_period_and_an_offset_within_it() {
        let with = |period: &str, offset| UsagePlan {
            quota: Some(QuotaSettings { limit: Some(10), offset: Some(offset), period: Some(period.to_owned()) }),
            ..plan()
        };
        assert!(found(&with("DAY", 0)).is_empty() && found(&with("MONTH", 27)).is_empty());
        assert_eq!(found(&with("WEEK", 7)), ["quota.offset"]);
        assert_eq!(found(&with("YEAR", 0)), ["quota.period"]);
        let empty = UsagePlan { quota: Some(QuotaSettings::default()), ..plan() };
        assert_eq!(found(&empty), ["quota.limit", "quota.period"]);
    }

    #[test]
    fn a_stage_is_attached_once() {
        let stage = ApiStage { api_id: "abc".to_owned(), stage: "prod".to_owned(), ..ApiStage::default() };
        assert_eq!(found(&UsagePlan { api_stages: vec![stage.clone(), stage.clone()], ..plan() }), ["apiStages[1]"]);
        let throttle = [("pets".to_owned(), ThrottleSettings::default())].into();
        let attached = ApiStage { throttle, ..stage };
        assert_eq!(found(&UsagePlan { api_stages: vec![attached], ..plan() }), ["apiStages[0].throttle[\"pets\"]"]);
    }
}
