//! Contents laid over others: AWS's `mode=merge`.

use std::collections::BTreeMap;

use sluice_proto::model::RestApi;

use crate::{contents::Contents, noun::Noun};

/// `present` with everything of `wanted` added, or in the place of what has the same key. Both have their ids.
pub(crate) fn merged(present: Contents, wanted: Contents) -> Contents {
    Contents {
        rest_api: merged_api(present.rest_api, wanted.rest_api),
        resources: over(present.resources, wanted.resources),
        methods: over(present.methods, wanted.methods),
        models: over(present.models, wanted.models),
        validators: over(present.validators, wanted.validators),
        authorizers: over(present.authorizers, wanted.authorizers),
        gateway_responses: over(present.gateway_responses, wanted.gateway_responses),
    }
}

fn over<N: Noun>(present: Vec<N>, wanted: Vec<N>) -> Vec<N> {
    let by_key: BTreeMap<Vec<String>, N> = present.into_iter().chain(wanted).map(|one| (one.key(), one)).collect();
    by_key.into_values().collect()
}

/// The API keeps its name and what the file does not say.
fn merged_api(present: RestApi, wanted: RestApi) -> RestApi {
    let mut binary_media_types = present.binary_media_types;
    for media_type in wanted.binary_media_types {
        if !binary_media_types.contains(&media_type) {
            binary_media_types.push(media_type);
        }
    }
    let mut tags = present.tags;
    tags.extend(wanted.tags);
    RestApi {
        level: wanted.level,
        id: present.id,
        name: present.name,
        description: wanted.description.or(present.description),
        version: wanted.version.or(present.version),
        api_key_source: wanted.api_key_source.or(present.api_key_source),
        binary_media_types,
        minimum_compression_size: wanted.minimum_compression_size.or(present.minimum_compression_size),
        endpoint_configuration: wanted.endpoint_configuration.or(present.endpoint_configuration),
        policy: wanted.policy.or(present.policy),
        disable_execute_api_endpoint: wanted.disable_execute_api_endpoint.or(present.disable_execute_api_endpoint),
        root_resource_id: present.root_resource_id,
        tags,
        created_date: present.created_date,
        warnings: wanted.warnings,
    }
}
