//! Rules that are broken on purpose: an invariant that cannot fail proves nothing.

use std::time::Duration;

use sluice_sim::{Circumstances, Sabotage, Telling};

use crate::in_process;

/// The invariant that notices, in the first of a few seeds in which one does.
fn noticed(adjust: impl Fn(&mut Circumstances) + Send + Copy + 'static) -> Option<&'static str> {
    (1..=40).find_map(|seed| in_process(seed, Telling::Quiet, adjust).violation.map(|violation| violation.invariant))
}

fn sabotaged(sabotage: Sabotage) -> Option<&'static str> {
    noticed(move |circumstances| {
        circumstances.sabotage = sabotage;
        circumstances.voters = 3;
        circumstances.data_nodes = circumstances.data_nodes.min(2);
        circumstances.calm = Duration::from_millis(200)..=Duration::from_secs(1);
        circumstances.troubled = Duration::from_secs(12);
    })
}

#[test]
fn a_write_that_is_acknowledged_before_a_quorum_has_it_is_noticed() {
    assert_eq!(sabotaged(Sabotage::AcknowledgesBeforeQuorum), Some("no_acknowledged_write_lost"));
}

#[test]
fn a_node_that_applies_differently_is_noticed() {
    assert_eq!(sabotaged(Sabotage::AppliesDifferently), Some("applied_digests_equal"));
}

#[test]
fn a_data_node_that_goes_back_is_noticed() {
    assert_eq!(sabotaged(Sabotage::ForgetsWhatItServed), Some("revision_never_backwards"));
}

#[test]
fn a_wait_that_is_answered_too_early_is_noticed() {
    assert_eq!(sabotaged(Sabotage::ReportsTooMuch), Some("wait_never_lies"));
}

#[test]
fn a_log_that_is_said_to_be_on_disk_and_is_not_is_noticed() {
    // By what depends on how far the others had come.
    assert!(sabotaged(Sabotage::SyncsNothing).is_some());
}
